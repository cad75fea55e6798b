"""Measure where faces lie, for a table of portraits: `anymus weights refine --portraits`.

    python -m venv measuring && measuring/bin/pip install mediapipe==0.10.14
    measuring/bin/python experiments/drawn/measure.py portraits.csv data/processed/trainA -o new.csv

Reads the columns that a person fills in (id, sex, age, cut, hair, skin, glasses, beard, clothes)
and writes them beside the measured ones. Of several faces in a crop that in its middle counts; who
has none is left out and named. MediaPipe (Apache-2.0) has an environment of its own because it pins
other versions of numpy and protobuf than Anymus; its wheel brings the network of 478 landmarks.
"""

import argparse
import csv
from pathlib import Path

import cv2
import mediapipe
import numpy as np

TRAITS = ("id", "sex", "age", "cut", "hair", "skin", "glasses", "beard", "clothes")
SIDE_PX = 512
MIDDLE = (0.5, 0.46)  # between the eyes of an aligned crop, in sides
LEVEL_PITCH_DEG = -7.5  # median of the portraits of members of congress, who look ahead
MOST_DEG = 12.0
GAZE_GAIN, MOST_GAZE = 3.0, 0.8
LEFT_EYE, RIGHT_EYE = [33, 133, 159, 145], [263, 362, 386, 374]  # corners, lids
BROWS = [105, 66, 334, 296]
LEFT_CHEEK, RIGHT_CHEEK, FOREHEAD, CHIN, BELOW_NOSE = 234, 454, 10, 152, 2
LEFT_JAW, RIGHT_JAW = 172, 397
LEFT_CORNER, RIGHT_CORNER, UPPER_LIP, LOWER_LIP = 61, 291, 13, 14
IRISES = ((468, 33, 133), (473, 362, 263))  # the iris between its two corners


def main() -> None:
    """Write the table with its measured columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("crops", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.table.open(encoding="utf-8", newline="") as stream:
        people = [{name: row[name] for name in TRAITS} for row in csv.DictReader(stream)]
    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=3, refine_landmarks=True, min_detection_confidence=0.2
    )
    rows = []
    for person in people:
        points = find_points(mesh, arguments.crops / f"{person['id']}.png")
        if points is None:
            print(f"no face: {person['id']}")
        else:
            rows.append(person | measure(points))
    with arguments.output.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} of {len(people)} measured")


def find_points(mesh, path: Path) -> np.ndarray | None:
    """Return the landmarks (478, 3) of the face in the middle, in sides of the crop."""
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    found = mesh.process(cv2.resize(rgb, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC))
    faces = [
        np.array([[point.x, point.y, point.z] for point in face.landmark])
        for face in found.multi_face_landmarks or ()
    ]
    middles = [np.abs(face[[33, 263], :2].mean(axis=0) - MIDDLE).sum() for face in faces]
    return faces[int(np.argmin(middles))] if faces else None


def measure(points: np.ndarray) -> dict[str, str]:
    """Return the measured columns of one face."""
    left, right = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)
    across = points[RIGHT_CHEEK] - points[LEFT_CHEEK]
    yaw = float(np.degrees(np.arctan2(across[2], across[0])))
    up = points[FOREHEAD] - points[CHIN]
    pitch = LEVEL_PITCH_DEG - float(np.degrees(np.arctan2(up[2], -up[1])))
    turn = max(float(np.cos(np.radians(yaw))), 0.5)
    corners = points[[LEFT_CORNER, RIGHT_CORNER]]
    lips = points[[UPPER_LIP, LOWER_LIP]]
    eyes_apart, mouth = (_apart(*pair) / turn for pair in ((left, right), corners))
    looks = [
        2 * (points[i, 0] - points[a, 0]) / (points[b, 0] - points[a, 0]) - 1 for i, a, b in IRISES
    ]
    numbers = {
        "left_eye_x": left[0],
        "left_eye_y": left[1],
        "right_eye_x": right[0],
        "right_eye_y": right[1],
        "half_width": np.linalg.norm(across) / 2,
        "brow_y": points[BROWS, 1].mean(),
        "nose_y": points[BELOW_NOSE, 1],
        "mouth_y": lips[:, 1].mean(),
        "chin_y": points[CHIN, 1],
        "jaw": _apart(points[LEFT_JAW], points[RIGHT_JAW]) / 2 / turn,
        "gape": _apart(*lips) / mouth,
        "lift": (lips[:, 1].mean() - corners[:, 1].mean()) / eyes_apart,
        "wide": mouth / eyes_apart,
        "gaze": np.clip(GAZE_GAIN * np.mean(looks), -MOST_GAZE, MOST_GAZE),
    }
    angles = {"yaw": yaw, "pitch": np.clip(pitch, -MOST_DEG, MOST_DEG)}
    return {name: f"{value:.4f}" for name, value in numbers.items()} | {
        name: f"{value:.1f}" for name, value in angles.items()
    }


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.hypot(*(one - other)[:2]))


if __name__ == "__main__":
    main()
