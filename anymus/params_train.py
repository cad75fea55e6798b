"""Parameters of training: the networks, the losses, the schedule and what is written when."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
    batch_size: int = Field(ge=1, le=1024, description="pictures of each domain in one iteration")
    iterations: int = Field(
        ge=1, le=100_000_000, description="training steps; over the second half lr falls to 0"
    )
    lr: float = Field(gt=0, le=1, description="Adam's learning rate in the first half")
    beta1: float = Field(ge=0, lt=1, description="Adam's decay of the mean gradient, 0-1")
    beta2: float = Field(ge=0, lt=1, description="Adam's decay of the squared gradient, 0-1")
    weight_decay: float = Field(ge=0, le=1, description="L2 penalty inside Adam's gradient")
    adv_weight: float = Field(ge=0, le=1e6, description="weight of the adversarial losses")
    cycle_weight: float = Field(ge=0, le=1e6, description="weight of the cycle loss")
    identity_weight: float = Field(ge=0, le=1e6, description="weight of the identity loss")
    cam_weight: float = Field(ge=0, le=1e6, description="weight of the generators' CAM loss")
    ema_decay: float = Field(
        ge=0,
        lt=1,
        description="decay per iteration of the running mean of the generators' weights that"
        " samples and exports use, 0-1; early on it is lower",
    )
    generator: GeneratorParams
    discriminator: DiscriminatorParams
    log_every_iter: int = Field(ge=1, description="iterations between two rows of the loss curves")
    sample_every_iter: int = Field(ge=1, description="iterations between two sample grids")
    sample_rows: int = Field(ge=1, le=32, description="test pictures of each domain in a grid")
    checkpoint_every_iter: int = Field(ge=1, description="iterations between two checkpoints")
    keep_checkpoints: int = Field(
        ge=1, le=100, description="newest checkpoints kept, besides the one nearest half-way"
    )
    cache_mib: int = Field(
        ge=0, description="memory for decoded training pictures, MiB; others are read each time"
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
        for name in ("global_layers", "local_layers"):
            self._check_layers(name, getattr(self.discriminator, name))
        return self

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
