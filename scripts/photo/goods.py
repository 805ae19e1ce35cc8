"""Lamp, shoe box, backpack, headphones, cactus and watch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from photo.paint import BRASS, GOLD, STEEL, Print, facing, layered, noise, plain, rgb, words
from photo.scene import Camera, Material, Paint, Part, Scene, column, mix, smoothstep
from photo.solids import (
    Array,
    Field,
    blend,
    bounded,
    box,
    capsule,
    corners,
    cut,
    cylinder,
    ellipsoid,
    extrude,
    grow,
    lathe,
    mirror,
    move,
    overlap,
    repeat_round,
    sphere,
    spline,
    stretch,
    torus,
    tube,
    turn,
    union,
)
from PIL import ImageDraw


def lamp() -> Scene:
    base = lathe(corners([(0, 0.0), (0.40, 0.0, 0.015), (0.40, 0.05, 0.03), (0.08, 0.085, 0.05), (0.055, 0.15), (0, 0.15)]))
    elbow, head = (-0.30, 0.98, 0.0), (0.22, 1.56, 0.0)
    lower = capsule((0, 0.12, 0), elbow, 0.028)
    upper = capsule(elbow, head, 0.028)
    joints = union(
        move(turn(cylinder(0.058, 0.05, 0.012), "x", 90), *elbow),
        move(turn(cylinder(0.05, 0.05, 0.012), "x", 90), *head),
        move(turn(cylinder(0.045, 0.05, 0.012), "x", 90), 0, 0.16, 0),
    )
    shade_line = corners(
        [
            (0, 0.115),
            (0.085, 0.115, 0.03),
            (0.10, 0.04, 0.03),
            (0.155, -0.03, 0.10),
            (0.340, -0.36, 0.006),
            (0.318, -0.366, 0.006),
            (0.14, -0.035, 0.08),
            (0.07, 0.03, 0.02),
            (0, 0.03),
        ]
    )
    tilt = 38.0
    pose = lambda solid: move(turn(solid, "z", tilt), head[0] + 0.09, head[1] - 0.06, 0)  # noqa: E731
    shade = pose(lathe(shade_line))
    bulb = pose(move(blend(0.05, sphere(0.10), move(cylinder(0.045, 0.06), y=0.11)), y=-0.17))
    c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    hub = (head[0] + 0.09, head[1] - 0.06)

    def inside(p: Array, n: Array) -> Array:
        x, y = c * (p[0] - hub[0]) + s * (p[1] - hub[1]), c * (p[1] - hub[1]) - s * (p[0] - hub[0])
        wall = np.interp(y, [-0.365, -0.033, 0.02], [0.329, 0.148, 0.0]).astype(np.float32)
        return smoothstep(0.002, -0.002, np.hypot(x, p[2]) - wall)

    enamel = layered(rgb("#b3261e"), (inside, rgb("#f6ead2")))
    parts = [
        Part(union(base, lower, upper), Material(rgb("#b3261e"), rough=0.16, f0=0.05)),
        Part(shade, Material(enamel, rough=0.16, f0=0.05)),
        Part(joints, BRASS),
        Part(bulb, Material(rgb("#fff1d0"), rough=0.3, glow=0.8)),
    ]
    return Scene(parts, Camera((0.08, 0.84, 0), 7.6, 10, -22, 16.4), (0.08, 0.86, 0, 1.02))


def shoe_box() -> Scene:
    lower = move(cut(box(0.74, 0.27, 0.45, 0.012), move(box(0.72, 0.27, 0.43, 0.01), y=0.03)), y=0.27)
    lid = move(box(0.762, 0.095, 0.472, 0.014), y=0.475)
    body, top = rgb("#c8712b"), rgb("#22314d")

    def side(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 1480, 380), fill=(0, 0, 0, 0))
        for k in range(3):
            x = 1010 + 110 * k
            draw.polygon(((x, 380), (x + 60, 380), (x + 200, 0), (x + 140, 0)), fill="#f2e3c8")
        words(draw, 470, 168, "STRIDE", 190, "#f2e3c8", 0.08)
        words(draw, 470, 300, "RUNNING COMPANY", 56, "#f2e3c8", 0.30)

    def tag(draw: ImageDraw.ImageDraw) -> None:
        draw.rounded_rectangle((0, 0, 500, 240), 14, fill="#f4f0e6")
        words(draw, 150, 66, "TRAIL 3", 64, "#22314d", 0.02)
        words(draw, 148, 128, "rust / sand", 40, "#22314d", 0.02)
        words(draw, 394, 84, "42", 120, "#22314d")
        for k in range(46):
            if (k * 7919) % 5 < 3:
                draw.rectangle((30 + k * 9.6, 172, 30 + k * 9.6 + (3 if k % 3 else 6), 220), fill="#22314d")

    paint = Print(1480, 380, side).over(plain(body), facing(2, 0, -0.72, 0.72, 0.01, 0.375))
    tag_paint = Print(500, 240, tag).over(paint, lambda p, n: ((0.24 - p[2]) / 0.48, (0.315 - p[1]) / 0.23, n[0] > 0.7))

    def mark(draw: ImageDraw.ImageDraw) -> None:
        for k in range(3):
            x = 180 + 150 * k
            draw.polygon(((x, 420), (x + 80, 420), (x + 260, 60), (x + 180, 60)), fill="#e8a15f")

    lid_paint = Print(900, 480, mark).over(plain(top), lambda p, n: ((p[0] + 0.40) / 0.80, (p[2] + 0.21) / 0.42, n[1] > 0.7))
    parts = [Part(lower, Material(tag_paint, rough=0.55)), Part(lid, Material(lid_paint, rough=0.42))]
    return Scene(parts, Camera((0, 0.27, 0), 7.0, 25, 33, 17.2), (0, 0.27, 0, 0.95))


def backpack() -> Scene:
    body = move(stretch(box(0.52, 0.70, 0.27, 0.25), y=1.06), y=0.76)
    top = move(ellipsoid(0.50, 0.36, 0.27), y=1.16)
    shell = cut(blend(0.16, body, top), move(box(2, 0.1, 2), y=-0.03), 0.04)
    pocket = cut(move(box(0.39, 0.30, 0.14, 0.12), 0, 0.44, 0.24), move(box(2, 0.1, 2), y=-0.03), 0.03)
    zipper_line = overlap(grow(shell, 0.010), move(turn(box(1.0, 0.018, 1.0), "x", -62), 0, 0.98, 0.02))
    pocket_zip = overlap(grow(pocket, 0.008), move(box(0.34, 0.014, 0.4), 0, 0.635, 0.3))
    pulls = union(
        bounded(capsule((0.20, 0.625, 0.405), (0.205, 0.545, 0.42), 0.014), (0.20, 0.585, 0.41), 0.08),
        bounded(capsule((-0.30, 1.13, 0.27), (-0.31, 1.05, 0.315), 0.014), (-0.305, 1.09, 0.29), 0.08),
    )
    loop = bounded(move(tube([(-0.13, 1.47), (-0.11, 1.60), (0, 1.65), (0.11, 1.60), (0.13, 1.47)], 0.030), z=-0.08), (0, 1.56, -0.08), 0.20)
    ribbon = stretch(tube([(-0.20, 1.40), (-0.42, 1.30), (-0.54, 0.95), (-0.48, 0.50), (-0.24, 0.20)], 0.034), z=2.6)
    straps = mirror(move(turn(turn(ribbon, "y", -90), "z", -5), 0.30, 0, 0))
    patch = move(box(0.115, 0.075, 0.010, 0.008), 0, 0.40, 0.383)

    def label(draw: ImageDraw.ImageDraw) -> None:
        draw.rounded_rectangle((14, 14, 446, 286), 20, outline="#5c351a", width=6)
        draw.polygon(((110, 190), (190, 70), (235, 132), (265, 96), (350, 190)), fill="#5c351a")
        words(draw, 230, 236, "FJELL", 58, "#5c351a", 0.24)

    leather = Print(460, 300, label).over(plain(rgb("#b5783f")), facing(2, 0, -0.115, 0.115, 0.255, 0.405))
    weave: Field = lambda p: np.sin(p[0] * 330) * np.sin(p[1] * 330) + 0.6 * np.sin(p[2] * 330)  # noqa: E731
    navy, sand = rgb("#23406b"), rgb("#b5783f")
    fabric = Material(layered(navy, (lambda p, n: 0.25 + 0.25 * noise(p, 28), rgb("#1a2f52"))), rough=0.85, sheen=0.7, bump=weave, bump_height=0.0005)
    front = replace(fabric, paint=layered(rgb("#2b4f82"), (lambda p, n: 0.25 + 0.25 * noise(p, 28), rgb("#203c66"))))
    parts = [
        Part(shell, fabric),
        Part(pocket, front),
        Part(union(zipper_line, pocket_zip), Material(rgb("#15161a"), rough=0.6)),
        Part(union(pulls, loop), Material(sand, rough=0.5)),
        Part(straps, replace(fabric, paint=rgb("#1a2c4c"))),
        Part(bounded(patch, (0, 0.40, 0.383), 0.16), Material(leather, rough=0.5)),
    ]
    parts = [Part(move(part.solid, y=-0.07), part.material) for part in parts]
    return Scene(parts, Camera((0, 0.75, 0), 7.6, 10, 25, 17), (0, 0.75, 0, 1.08))


def headphones() -> Scene:
    def mirrored(solid: Field) -> Field:
        return mirror(move(solid, y=-0.098))

    lay = lambda solid: move(turn(solid, "z", 96), 0.56, 0.46, 0)  # noqa: E731
    shell = lay(stretch(lathe(corners([(0, -0.105), (0.21, -0.105, 0.05), (0.315, -0.03, 0.06), (0.315, 0.05, 0.03), (0, 0.05)])), x=1.14))
    pad = lay(move(stretch(torus(0.205, 0.098), x=1.14), y=0.115))
    disc = lay(move(stretch(cylinder(0.155, 0.032, 0.012), x=1.14), y=-0.122))
    yoke = tube([(0.585, 0.70), (0.635, 0.82), (0.645, 0.92), (0.62, 1.04)], 0.024)
    band_path = [(-0.62, 1.00), (-0.52, 1.28), (-0.28, 1.46), (0, 1.52), (0.28, 1.46), (0.52, 1.28), (0.62, 1.00)]
    outer = stretch(tube(band_path, 0.040), z=2.3)
    cushion = stretch(tube([(-0.46, 1.22), (-0.26, 1.385), (0, 1.44), (0.26, 1.385), (0.46, 1.22)], (0.03, 0.052, 0.056, 0.052, 0.03)), z=2.1)
    matte = Material(rgb("#2c2e33"), rough=0.42)
    leather = Material(rgb("#8a4b2a"), rough=0.42, sheen=0.15, bump=lambda p: noise(p, 110), bump_height=0.0003)
    parts = [
        Part(mirrored(shell), matte),
        Part(mirrored(pad), leather),
        Part(mirrored(disc), replace(STEEL, paint=rgb("#c9a27a"), rough=0.20)),
        Part(mirrored(yoke), STEEL),
        Part(mirrored(outer), matte),
        Part(mirrored(cushion), leather),
    ]
    return Scene(parts, Camera((0, 0.70, 0), 7.2, 10, 34, 16.2), (0, 0.70, 0, 1.06))


def plant_pot() -> Scene:
    pot = lathe(
        corners(
            [
                (0, 0.0),
                (0.30, 0.0, 0.015),
                (0.405, 0.50, 0.006),
                (0.45, 0.50, 0.014),
                (0.465, 0.67, 0.018),
                (0.405, 0.67, 0.014),
                (0.395, 0.58, 0.02),
                (0, 0.58),
            ]
        )
    )
    gravel: Field = lambda p: move(cylinder(0.40, 0.03), y=0.585)(p) - 0.016 * noise(p, 26)  # noqa: E731

    def ribs(solid_height: float, radius: float, count: int) -> Field:
        base = stretch(sphere(radius), y=solid_height)

        def field(p: Array) -> Array:
            angle = np.arctan2(p[2], p[0])
            around = np.hypot(p[0], p[2])
            depth = (
                np.float32(0.050 * radius / 0.3)
                * (np.abs(np.cos(angle * np.float32(count / 2))) - 0.6)
                * np.minimum(around / np.float32(0.5 * radius), 1)
            )
            return (base(p) - depth) * np.float32(0.72)

        return field

    def skin(count: int, spots_below: float) -> Paint:
        def paint(p: Array, n: Array) -> Array:
            ridge = np.abs(np.cos(np.arctan2(p[2], p[0]) * np.float32(count / 2)))
            colour = mix(column(rgb("#2f6b3f")), column(rgb("#6fa85a")), 0.75 * smoothstep(0.80, 1.0, ridge))
            spots = smoothstep(0.90, 0.985, ridge) * smoothstep(0.72, 0.95, np.cos(p[1] * 75)) * (p[1] < spots_below)
            return mix(colour, column(rgb("#f1e6b8")), np.asarray(spots, dtype=np.float32))

        return paint

    def grown(height: float, radius: float, count: int, lean: float, x: float, y: float, z: float) -> Part:
        """A cactus with its paint, both leaning about their own middle."""
        cosine, sine = math.cos(math.radians(lean)), math.sin(math.radians(lean))
        own = skin(count, radius * height * 0.82)

        def paint(p: Array, n: Array) -> Array:
            q = p - column((x, y, z))
            return own(np.stack([cosine * q[0] + sine * q[1], cosine * q[1] - sine * q[0], q[2]]).astype(np.float32), n)

        solid = move(turn(ribs(height, radius, count), "z", lean), x, y, z)
        return Part(bounded(solid, (x, y, z), radius * height * 1.2), Material(paint, rough=0.5))

    petal = move(turn(ellipsoid(0.075, 0.020, 0.034), "z", 40), 0.062, 0.035, 0)
    bloom = move(union(repeat_round(petal, 9), repeat_round(turn(petal, "z", 18), 7, 0.3)), 0.03, 1.345, 0.02)
    heart = move(sphere(0.034), 0.03, 1.385, 0.02)
    terracotta = layered(rgb("#bd6240"), (lambda p, n: 0.35 * smoothstep(-0.2, 0.9, noise(p, 7)) + 0.15 * noise(p, 40), rgb("#d58a66")))

    parts = [
        Part(pot, Material(terracotta, rough=0.75)),
        Part(gravel, Material(layered(rgb("#6a5a4c"), (lambda p, n: 0.5 + 0.5 * noise(p, 30), rgb("#2f2822"))), rough=0.9)),
        grown(1.32, 0.315, 16, 0, 0, 0.93, 0),
        grown(1.1, 0.14, 12, -20, 0.315, 0.88, 0.10),
        grown(1.15, 0.105, 12, 24, -0.27, 1.13, 0.14),
        Part(bounded(bloom, (0.03, 1.36, 0.02), 0.17), Material(rgb("#d8366f"), rough=0.5, sheen=0.4)),
        Part(heart, Material(rgb("#f0b429"), rough=0.6)),
    ]
    return Scene(parts, Camera((0, 0.70, 0), 7.2, 15, 0, 15.5), (0, 0.70, 0, 0.92))


def watch() -> Scene:
    tilt, lift = -24.0, 0.62
    pose = lambda solid: move(turn(solid, "x", tilt), 0, lift, 0.34)  # noqa: E731
    case = pose(
        turn(
            lathe(
                corners(
                    [
                        (0, -0.09),
                        (0.36, -0.09, 0.03),
                        (0.42, -0.02, 0.03),
                        (0.42, 0.05, 0.02),
                        (0.385, 0.092, 0.008),
                        (0.345, 0.092, 0.006),
                        (0.335, 0.06),
                        (0, 0.06),
                    ]
                )
            ),
            "x",
            90,
        )
    )
    dial = pose(turn(move(cylinder(0.345, 0.006), y=0.062), "x", 90))
    lug = blend(0.03, capsule((0.262, 0.27, 0.0), (0.250, 0.42, -0.02), 0.052), capsule((0.250, 0.42, -0.02), (0.245, 0.475, -0.075), 0.046))
    lugs = pose(mirror(mirror(lug, "y"), "x"))
    crown = pose(
        move(
            turn(union(cylinder(0.058, 0.05, 0.012), repeat_round(move(capsule((0, -0.035, 0), (0, 0.035, 0), 0.007), 0.057), 22)), "z", 90),
            0.465,
            0,
            0,
        )
    )

    def hand(length: float, width: float, degrees: float, height: float) -> Field:
        return pose(turn(move(box(width, length / 2 + 0.02, 0.005, 0.002), 0, length / 2 - 0.02, height), "z", -degrees))

    hands = union(hand(0.19, 0.014, 305, 0.080), hand(0.28, 0.010, 54, 0.088), pose(move(turn(cylinder(0.022, 0.012, 0.004), "x", 90), z=0.085)))
    second = union(hand(0.30, 0.0035, 198, 0.096), pose(move(turn(cylinder(0.012, 0.016, 0.003), "x", 90), z=0.088)))

    def face(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 1200, 1200), fill="#0c2a3f")
        for k in range(60):
            angle = math.radians(6 * k)
            long = k % 5 == 0
            r0, r1 = (430 if long else 510), 545
            points = [(600 + r * math.sin(angle), 600 - r * math.cos(angle)) for r in (r0, r1)]
            draw.line(points, fill="#f0e2c0" if long else "#8fb0b8", width=24 if long else 6)
        words(draw, 600, 410, "MERIDIAN", 62, "#f0e2c0", 0.20)
        words(draw, 600, 800, "AUTOMATIC", 38, "#8fb0b8", 0.22)

    c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))

    def place(p: Array, n: Array) -> tuple[Array, Array, Array]:
        y, z = p[1] - lift, p[2] - 0.34
        v = c * y + s * z
        return (p[0] + 0.345) / 0.69, (0.345 - v) / 0.69, np.ones(p.shape[1], dtype=bool)

    paint = Print(1200, 1200, face).over(plain(rgb("#0c2a3f")), place)

    def strap_band(points: Sequence[Sequence[float]], width: float) -> Field:
        line = spline([(z, y) for y, z in points], 60)
        step = np.gradient(line, axis=0)
        side = np.stack([-step[:, 1], step[:, 0]], axis=1) / np.linalg.norm(step, axis=1)[:, None]
        ribbon = np.vstack([line + side * 0.030, (line - side * 0.030)[::-1]])
        return turn(extrude(ribbon, width, 0.018), "y", -90)

    upper = strap_band(
        [
            (lift + 0.38, 0.175),
            (lift + 0.52, 0.05),
            (lift + 0.54, -0.16),
            (lift + 0.40, -0.38),
            (lift + 0.0, -0.50),
            (0.28, -0.47),
            (0.10, -0.30),
            (0.05, -0.05),
        ],
        0.205,
    )
    lower = strap_band([(lift - 0.40, 0.50), (lift - 0.53, 0.45), (0.055, 0.22), (0.035, 0.0), (0.035, -0.22)], 0.205)
    strap = union(upper, lower)

    def stitch(p: Array, n: Array) -> Array:
        dashes = smoothstep(-0.1, 0.2, np.sin((p[1] - p[2]) * 95))
        return np.asarray(smoothstep(0.009, 0.005, np.abs(np.abs(p[0]) - 0.172)) * dashes * (np.abs(n[0]) < 0.5), dtype=np.float32)

    leather = layered(rgb("#7a4324"), (lambda p, n: 0.3 + 0.3 * noise(p, 18), rgb("#5d3019")), (stitch, rgb("#e6cf9f")))
    parts = [
        Part(union(case, lugs, crown), replace(STEEL, rough=0.16)),
        Part(dial, Material(paint, rough=0.5, f0=0.02)),
        Part(hands, replace(GOLD, rough=0.25)),
        Part(second, Material(rgb("#e0552f"), rough=0.4)),
        Part(strap, Material(leather, rough=0.48, sheen=0.1, bump=lambda p: noise(p, 90), bump_height=0.0008)),
    ]
    return Scene(parts, Camera((0, 0.58, 0), 7.0, 12, 28, 14.5), (0, 0.58, 0, 0.92))
