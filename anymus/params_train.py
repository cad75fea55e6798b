"""Parameters of training: the networks, the losses, the schedule and what is written when."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class GeneratorParams(_Section):
    """Shape of both generators."""

    base_channels: int = Field(
        ge=1, le=512, description="channels of the first convolution; 64 in the paper"
    )
    channel_multipliers: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(
        strict=False,
        min_length=1,
        max_length=5,
        description="channels after each halving of the map, in multiples of base_channels",
    )
    residual_blocks: int = Field(
        ge=1, le=16, description="residual blocks in the encoder, and as many in the decoder"
    )
    film: Literal["flatten", "pooled"] = Field(
        description="what AdaLIN's gamma and beta are made from: the whole map (flatten: the"
        " paper's, fixes the image size) or its average (pooled: the light variant)"
    )
    activation: Literal["relu", "leaky_relu"] = Field(
        description="activation between convolutions; leaky_relu has slope 0.2"
    )
    padding: Literal["reflect", "zeros"] = Field(description="what convolutions see at the border")
    has_cam_bias: bool = Field(description="whether the CAM classifiers have a bias")
    up_kernel_px: int = Field(ge=1, le=9, description="kernel after each doubling, pixels")
    head_kernel_px: int = Field(ge=1, le=15, description="kernel of the last convolution, pixels")


class DiscriminatorParams(_Section):
    """Shape of the discriminators; each domain has a global and a local one, or the local alone."""

    base_channels: int = Field(
        ge=1, le=512, description="channels of the first convolution; 64 in the paper"
    )
    global_layers: int = Field(
        ge=0,
        le=9,
        description="4x4 convolutions of the global discriminator (receptive field: 7 layers 286"
        " pixels, 6 layers 142); 0: none",
    )
    local_layers: int = Field(
        ge=3,
        le=9,
        description="4x4 convolutions of the local discriminator (receptive field: 5 layers 70"
        " pixels, 4 layers 34)",
    )
    dilations: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        strict=False,
        max_length=8,
        description="one more 3x3 convolution with that dilation each, on the smallest map",
    )
    padding: Literal["reflect", "zeros"] = Field(description="what convolutions see at the border")
    has_cam_bias: bool = Field(description="whether the CAM classifiers have a bias")


class AugmentParams(_Section):
    """Differentiable augmentation: random changes to all that discriminators see."""

    kinds: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        strict=False,
        max_length=3,
        description="kinds of change, none: []; real and translated pictures get the same kinds",
    )
    probability: float = Field(
        ge=0, le=1, description="probability of each kind for each picture, 0-1; where it starts"
    )
    target_sign: float | None = Field(
        ge=-1,
        le=1,
        description="adapts the probability: it rises while the mean sign of the verdict on real"
        " patches is above this (0.6 is usual), and falls below; null: it stays",
    )


class ScheduleParams(_Section):
    """The learning rate, by the pictures of each domain that were seen."""

    shape: Literal["constant", "linear", "cosine"] = Field(
        description="how lr falls to 0 after it was held; constant: it does not"
    )
    warm_up_pictures: int = Field(
        ge=0, description="pictures over which lr rises linearly from 0 at the start"
    )
    hold_pictures: int | None = Field(
        ge=0, description="pictures after which lr begins to fall; null: half of the run"
    )


class GuardParams(_Section):
    """What is looked at on held-out pictures at every checkpoint, and when it stops the run."""

    pictures: int = Field(
        ge=0,
        le=4096,
        description="test pictures of each domain that are translated and scored; 0: none",
    )
    min_contrast: float = Field(
        ge=0,
        le=1,
        description="least standard deviation of the translations' pixels, as a share of the"
        " target's: below it the generator is blank and the run stops",
    )
    min_diversity: float = Field(
        ge=0,
        le=1,
        description="least mean distance of two translations in feature space, as a share of the"
        " target's: below it the generator has collapsed and the run stops",
    )
    after_iter: int = Field(ge=0, description="iterations before the two bounds hold")


class TrainParams(_Section):
    """Training of U-GAT-IT."""

    device: str = Field(
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="where to compute: auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1, mps",
    )
    order: Literal["fast", "strict"] = Field(
        description="order of operations: strict repeats the official port, fast is the same"
        " mathematics with less work"
    )
    precision: Literal["fp32", "bf16"] = Field(
        description="bf16 computes convolutions in half of single precision: quicker, and needs"
        " less memory; norms, losses and weights stay in fp32"
    )
    is_compiled: bool = Field(
        description="compile the networks with torch.compile: minutes at the start, then quicker"
    )
    has_cuda_graph: bool = Field(
        description="on CUDA: record one iteration and replay it, which saves the time between"
        " small operations; nothing elsewhere and under torchrun"
    )
    is_checkpointing: bool = Field(
        description="compute the generators' passes again for their gradients instead of keeping"
        " them: about a third more work, much less memory"
    )
    is_deterministic: bool = Field(
        description="choose operations that repeat to the bit; false: whichever torch takes"
    )
    image_size_px: int = Field(ge=16, le=2048, description="side of the square images, pixels")
    load_size_px: int = Field(
        ge=16,
        le=2304,
        description="side to which pictures are resized before the random crop of image_size_px,"
        " pixels; equal to image_size_px: no crop",
    )
    flip_probability: float = Field(
        ge=0, le=1, description="probability of mirroring a picture left to right, 0-1"
    )
    gamma_jitter: float = Field(
        ge=0,
        le=2,
        description="photos only: each gets a gamma between 2^-x and 2^x, each channel up to a"
        " quarter of that more or less, as if lit otherwise; 0: none, as in the paper",
    )
    grey_share: float = Field(
        ge=0,
        le=1,
        description="photos only: share of the times that one is shown in grey; 0: none, as in the"
        " paper",
    )
    shadow_stops: float = Field(
        ge=0,
        le=8,
        description="photos only: a shadow of up to that many stops falls on one side of each that"
        " is translated, while losses compare with it unshadowed; 0: none, as in the paper",
    )
    batch_size: int = Field(ge=1, le=1024, description="pictures of each domain in one iteration")
    micro_batches: int = Field(
        ge=1,
        le=1024,
        description="equal parts into which a batch is cut to save memory, their gradients added",
    )
    iterations: int = Field(ge=1, le=100_000_000, description="training steps")
    max_seconds: float | None = Field(
        gt=0,
        description="stop after this time with the state saved, exit code 9; the same command goes"
        " on from there; null: no limit",
    )
    lr: float = Field(gt=0, le=1, description="Adam's learning rate while it is held")
    schedule: ScheduleParams
    beta1: float = Field(ge=0, lt=1, description="Adam's decay of the mean gradient, 0-1")
    beta2: float = Field(ge=0, lt=1, description="Adam's decay of the squared gradient, 0-1")
    weight_decay: float = Field(ge=0, le=1, description="L2 penalty inside Adam's gradient")
    adv_weight: float = Field(ge=0, le=1e6, description="weight of the adversarial losses")
    cycle_weight: float = Field(ge=0, le=1e6, description="weight of the cycle loss")
    identity_weight: float = Field(ge=0, le=1e6, description="weight of the identity loss")
    cam_weight: float = Field(ge=0, le=1e6, description="weight of the generators' CAM loss")
    tone_weight: float = Field(
        ge=0,
        le=1e6,
        description="weight of the tone loss: keeps light and dark of heads where they are, over a"
        " grid of 16 x 16 means; 0: none, as in the paper",
    )
    skin_weight: float = Field(
        ge=0,
        le=1e6,
        description="weight of the skin loss: cheeks as light among translations as they were"
        " among their own domain, by rank; 0: none, as in the paper",
    )
    ema_decay: float = Field(
        ge=0,
        lt=1,
        description="decay per iteration of the running mean of the generators' weights that"
        " samples and exports use, 0-1; early on it is lower",
    )
    augment: AugmentParams
    select_share: float = Field(
        gt=0,
        le=1,
        description="share of each domain's pictures to train on: the most typical ones in feature"
        " space (instance selection); 1: all",
    )
    start_from: str | None = Field(
        description="generators to start from instead of from chance: a set of `anymus weights"
        " list`, or a folder with generator_a2b.safetensors and generator_b2a.safetensors of the"
        " same architecture; null: none"
    )
    guard: GuardParams
    export: Literal["last", "best"] = Field(
        description="which generators a finished run hands out: the last, or those of the kept"
        " checkpoint with the lowest KID on held-out pictures (guard.pictures)"
    )
    generator: GeneratorParams
    discriminator: DiscriminatorParams
    log_every_iter: int = Field(ge=1, description="iterations between two rows of the loss curves")
    sample_every_iter: int = Field(ge=1, description="iterations between two sample grids")
    sample_rows: int = Field(ge=1, le=32, description="test pictures of each domain in a grid")
    checkpoint_every_iter: int = Field(ge=1, description="iterations between two checkpoints")
    keep_checkpoints: int = Field(
        ge=1,
        le=100,
        description="newest checkpoints kept, besides the best and the last before lr falls",
    )
    cache_mib: int = Field(
        ge=0, description="memory for decoded training pictures, MiB; others are read each time"
    )
    loader_workers: int = Field(
        ge=1, le=64, description="threads that prepare the next batches while one is trained on"
    )
    has_tensorboard: bool = Field(
        description="also write losses and grids for TensorBoard, into the run's folder"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> "TrainParams":
        factor = 2 ** len(self.generator.channel_multipliers)
        if self.image_size_px % factor:
            raise ValueError(f"image_size_px {self.image_size_px} is no multiple of {factor}")
        if self.load_size_px < self.image_size_px:
            raise ValueError(
                f"load_size_px {self.load_size_px} is below image_size_px {self.image_size_px}"
            )
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of micro_batches {self.micro_batches}"
            )
        self._check_order()
        if self.export == "best" and self.guard.pictures < 2:
            raise ValueError("export 'best' needs guard.pictures of 2 or more to score by")
        for name in ("global_layers", "local_layers"):
            self._check_layers(name, getattr(self.discriminator, name))
        return self

    def _check_order(self) -> None:
        """Check that the strict order is asked for nothing that the official port has not."""
        if self.order == "fast":
            return
        extras = {
            "precision": self.precision != "fp32",
            "micro_batches": self.micro_batches > 1,
            "augment.kinds": bool(self.augment.kinds),
            "tone_weight": self.tone_weight > 0,
            "skin_weight": self.skin_weight > 0,
            "shadow_stops": self.shadow_stops > 0,
            "is_checkpointing": self.is_checkpointing,
        }
        asked = [name for name, is_asked in extras.items() if is_asked]
        if asked:
            raise ValueError(f"order 'strict' is the official port's, without {', '.join(asked)}")

    def _check_layers(self, name: str, layers: int) -> None:
        """Check that the smallest map of a discriminator is wide enough for its convolutions."""
        if layers == 0:
            return
        judge = self.discriminator
        map_px = self.image_size_px // 2 ** max(layers - 2, 0)
        least_px = 3
        if judge.padding == "reflect":  # a reflection is narrower than what it reflects
            least_px = max(least_px, *(dilation + 1 for dilation in judge.dilations), 0)
        if layers < 3 or map_px < least_px:
            raise ValueError(
                f"discriminator.{name} {layers}: its smallest map would be {map_px} px wide at"
                f" image_size_px {self.image_size_px}; it needs 3 layers or more, and {least_px} px"
            )
