"""Mug, bottle, vase, teapot, flacon and candle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from photo.paint import BRASS, GOLD, Print, band, facing, layered, noise, plain, rgb, specks, words, wrapped
from photo.scene import Camera, Material, Part, Scene, column, mix, smoothstep
from photo.solids import (
    Array,
    blend,
    box,
    capsule,
    corners,
    cut,
    cylinder,
    grow,
    lathe,
    move,
    overlap,
    repeat_round,
    sphere,
    spline,
    stretch,
    tube,
    turn,
    union,
)
from PIL import ImageDraw


def mug() -> Scene:
    outer = lathe(corners([(0, 0.0), (0.40, 0.0, 0.02), (0.41, 0.02, 0.01), (0.47, 0.06, 0.06), (0.50, 0.98, 0.018), (0, 0.98)]))
    hollow = lathe(corners([(0, 0.10), (0.43, 0.10, 0.10), (0.457, 1.2), (0, 1.2)]))
    handle = tube([(0.46, 0.80), (0.66, 0.80), (0.80, 0.66), (0.78, 0.42), (0.64, 0.27), (0.45, 0.23)], 0.062)
    solid = cut(blend(0.06, outer, stretch(handle, z=1.25)), hollow, 0.03)
    glaze = rgb("#1f6f78")
    speckle = layered(glaze, (lambda p, n: 0.6 * specks(p, 26, 0.30, 0.42), rgb("#0d333a")))
    foot = lambda p, n: smoothstep(0.115, 0.108, p[1] + 0.006 * noise(p, 9)) * smoothstep(0.2, 0.3, np.hypot(p[0], p[2]))  # noqa: E731
    paint = layered(speckle, (foot, rgb("#c39a6d")))
    coffee = move(cylinder(0.455, 0.012), y=0.82)
    brew = lambda p, n: smoothstep(0.40, 0.455, np.hypot(p[0], p[2]) + 0.02 * noise(p, 14))  # noqa: E731
    parts = [
        Part(solid, Material(paint, rough=0.12, f0=0.05)),
        Part(coffee, Material(layered(rgb("#2b1509"), (brew, rgb("#7a4a22"))), rough=0.06, f0=0.03)),
    ]
    return Scene(parts, Camera((0.10, 0.47, 0), 6.4, 19, -24, 16.4), (0.12, 0.49, 0, 0.88))


def bottle() -> Scene:
    outline = spline([(0.335, 1.02), (0.33, 1.10), (0.27, 1.23), (0.165, 1.36), (0.135, 1.48), (0.132, 1.62)], 160)
    shell = np.vstack(
        [corners([(0, 0.03), (0.18, 0.0, 0.02), (0.31, 0.0, 0.03), (0.335, 0.05, 0.03), (0.335, 1.0)]), outline, [[0.132, 1.68], [0, 1.68]]]
    )
    glass = lathe(shell)
    liquid_top = 1.16

    def amber(p: Array, ray: Array) -> Array:
        filled = smoothstep(liquid_top + 0.006, liquid_top - 0.006, p[1])
        return mix(column((0.50, 0.16, 0.02)), column((0.22, 0.030, 0.0012)), filled)

    cap = union(
        move(cylinder(0.158, 0.15, 0.02), y=1.76),
        repeat_round(move(turn(capsule((0, -0.115, 0), (0, 0.115, 0), 0.011), "y", 0), 0.156, 1.76), 44),
    )
    label_solid = overlap(cut(grow(glass, 0.004), grow(glass, -0.008), 0.0005), move(box(1, 0.31, 1, 0.0), y=0.55))

    def label(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 1400, 700), fill="#f3ead8")
        draw.rectangle((0, 0, 1400, 96), fill="#1e4d3b")
        draw.rectangle((0, 668, 1400, 700), fill="#c7913f")
        words(draw, 700, 50, "APOTHEKE", 54, "#f3ead8", 0.42)
        words(draw, 700, 262, "No. 7", 150, "#1e4d3b", 0.02)
        draw.line((560, 376, 840, 376), fill="#c7913f", width=5)
        words(draw, 700, 442, "BOTANICAL HAIR OIL", 44, "#1e4d3b", 0.22)
        words(draw, 700, 520, "rosemary · cedar · bay", 42, "#6b5a3a", 0.04)
        words(draw, 700, 604, "250 ml", 38, "#6b5a3a", 0.1)

    paint = Print(1400, 700, label).over(plain(rgb("#f3ead8")), wrapped(90, 108, 0.24, 0.86))
    parts = [
        Part(glass, Material(glass=amber)),
        Part(label_solid, Material(paint, rough=0.55)),
        Part(cap, Material(rgb("#141415"), rough=0.30)),
    ]
    return Scene(parts, Camera((0, 0.93, 0), 7.5, 9, 8, 19), (0, 0.95, 0, 1.03))


def vase() -> Scene:
    outer = spline(
        [(0.20, 0.0), (0.30, 0.06), (0.47, 0.36), (0.50, 0.66), (0.36, 0.98), (0.17, 1.20), (0.125, 1.36), (0.155, 1.50), (0.215, 1.575)], 150
    )
    lip = np.array([[0.222, 1.590], [0.215, 1.602], [0.203, 1.598]])
    inner = spline([(0.195, 1.585), (0.135, 1.50), (0.10, 1.36), (0.10, 1.20)], 40)
    solid = lathe(np.vstack([[[0, 0.0]], outer, lip, inner, [[0, 1.15]]]))

    def glaze(p: Array, n: Array) -> Array:
        height = p[1] + 0.035 * noise(p, 4) + 0.014 * noise(p, 15)
        streak = noise(np.stack([np.arctan2(p[2], p[0]) * 5, p[1] * 0.8, np.zeros_like(p[1])]), 3.0)
        colour = mix(column(rgb("#0a1f47")), column(rgb("#1b4f8c")), smoothstep(0.15, 0.95, height + 0.10 * streak))
        colour = mix(colour, column(rgb("#5fb0c4")), smoothstep(0.95, 1.32, height + 0.13 * streak))
        colour = mix(colour, column(rgb("#b98a4e")), smoothstep(1.50, 1.60, height + 0.03 * streak) * 0.8)
        speck = specks(p, 26, 0.26, 0.30) * smoothstep(0.5, 1.0, height)
        return mix(colour, column(rgb("#081a3d")), 0.6 * speck)

    return Scene([Part(solid, Material(glaze, rough=0.13, f0=0.06))], Camera((0, 0.79, 0), 7.4, 11, 0, 16.2), (0, 0.79, 0, 0.97))


def teapot() -> Scene:
    belly = lathe(
        np.vstack(
            [
                [[0, 0.02]],
                corners([(0.20, 0.02), (0.27, 0.0, 0.01), (0.30, 0.0, 0.012), (0.34, 0.05)]),
                spline([(0.36, 0.07), (0.52, 0.24), (0.55, 0.44), (0.44, 0.66), (0.26, 0.75)], 240),
                [[0, 0.76]],
            ]
        )
    )
    lid = lathe(
        np.vstack(
            [
                [[0, 0.70]],
                corners([(0.22, 0.72), (0.285, 0.735, 0.01), (0.285, 0.765, 0.012), (0.26, 0.775)]),
                spline([(0.25, 0.782), (0.14, 0.84), (0.05, 0.862)], 30),
                [[0, 0.865]],
            ]
        )
    )
    knob = blend(0.04, move(cylinder(0.03, 0.05), y=0.88), move(stretch(sphere(0.075), y=0.82), y=0.965))
    spout = tube([(0.36, 0.22), (0.62, 0.30), (0.74, 0.50), (0.82, 0.68), (0.91, 0.76)], (0.15, 0.115, 0.078, 0.06, 0.058))
    spout = cut(spout, move(box(0.4, 0.1, 0.4), 0.93, 0.835, 0), 0.012)
    spout = cut(spout, capsule((0.80, 0.64, 0), (1.0, 0.86, 0), 0.038), 0.012)
    handle = stretch(tube([(-0.42, 0.62), (-0.62, 0.68), (-0.79, 0.58), (-0.80, 0.38), (-0.66, 0.22), (-0.48, 0.17)], 0.045), z=1.35)
    solid = blend(0.07, belly, spout, handle)
    mustard = rgb("#d79b1e")
    rim = band(0.735, 0.768, 1)
    body_paint = layered(
        mustard, (lambda p, n: 0.5 * specks(p, 24, 0.26, 0.34), rgb("#8a5310")), (lambda p, n: smoothstep(0.060, 0.054, p[1]), rgb("#3b2a1c"))
    )
    lid_paint = layered(mustard, (rim, rgb("#3b2a1c")), (lambda p, n: 0.5 * specks(p, 24, 0.26, 0.34), rgb("#8a5310")))
    parts = [
        Part(solid, Material(body_paint, rough=0.11, f0=0.05)),
        Part(lid, Material(lid_paint, rough=0.11, f0=0.05)),
        Part(knob, Material(rgb("#6d4426"), rough=0.35)),
    ]
    return Scene(parts, Camera((0.05, 0.48, 0), 7.2, 17, 20, 15.5), (0.05, 0.5, 0, 1.04))


def flacon() -> Scene:
    glass = move(box(0.40, 0.46, 0.185, 0.055), y=0.46)
    cavity = move(box(0.335, 0.372, 0.122, 0.04), y=0.475)
    level = 0.70

    def juice(p: Array, ray: Array) -> Array:
        filled = smoothstep(0.004, -0.004, cavity(p)) * smoothstep(level + 0.004, level - 0.004, p[1])
        wall = smoothstep(0.012, 0.0, np.abs(cavity(p)))
        rose = mix(column((0.30, 0.004, 0.010)), column((0.50, 0.055, 0.012)), smoothstep(0.15, 0.70, p[1]))
        colour = mix(column((0.50, 0.57, 0.60)), rose, filled)
        return colour * (1 - 0.55 * wall)

    collar = union(move(cylinder(0.125, 0.035, 0.008), y=0.955), move(cylinder(0.105, 0.03, 0.004), y=1.0))
    cap = move(cylinder(0.155, 0.165, 0.014), y=1.185)

    def label(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 600, 520), fill="#20191a")
        draw.rectangle((22, 22, 578, 498), outline="#d6ac62", width=6)
        words(draw, 300, 170, "AUBE", 128, "#e2bd7a", 0.16)
        draw.line((210, 268, 390, 268), fill="#d6ac62", width=5)
        words(draw, 300, 334, "EAU DE PARFUM", 42, "#e2bd7a", 0.22)
        words(draw, 300, 416, "50 ml", 36, "#e2bd7a", 0.1)

    plate = move(box(0.195, 0.17, 0.004, 0.002), 0, 0.42, 0.186)
    paint = Print(600, 520, label).over(plain(rgb("#20191a")), facing(2, 0, -0.195, 0.195, 0.25, 0.59))
    stem = capsule((0, 0.95, 0), (0, 0.17, 0), 0.013)
    parts = [
        Part(cut(glass, grow(stem, 0.0), 0.001), Material(glass=juice)),
        Part(plate, Material(paint, rough=0.35)),
        Part(collar, GOLD),
        Part(cap, Material(rgb("#20191a"), rough=0.14, f0=0.05)),
    ]
    return Scene(parts, Camera((0, 0.66, 0), 7.0, 10, 24, 15.5), (0, 0.68, 0, 0.84))


def candle() -> Scene:
    jar = lathe(corners([(0, 0.0), (0.42, 0.0, 0.05), (0.42, 0.94, 0.012), (0.39, 0.94, 0.012), (0.39, 0.08), (0, 0.08)]))
    wax = lathe(np.vstack([[[0, 0.5]], [[0.385, 0.5]], [[0.385, 0.79]], spline([(0.375, 0.775), (0.30, 0.768), (0.10, 0.762), (0, 0.760)], 20)]))
    wick = tube([(0, 0.74), (0.004, 0.82), (0.02, 0.875)], 0.011)
    flame_line = spline([(0.0, 0.0), (0.040, 0.035), (0.052, 0.085), (0.032, 0.17), (0.010, 0.245), (0.0, 0.27)], 50)
    flame = move(lathe(flame_line), 0.012, 0.862, 0)

    def label(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 900, 640), fill="#eadfcb")
        draw.rectangle((30, 30, 870, 610), outline="#7a5b3a", width=7)
        words(draw, 450, 150, "HEARTH", 120, "#3a2a1e", 0.14)
        draw.ellipse((416, 236, 484, 304), outline="#b0642c", width=6)
        draw.ellipse((440, 260, 460, 280), fill="#b0642c")
        words(draw, 450, 392, "AMBER & FIG", 62, "#3a2a1e", 0.18)
        words(draw, 450, 472, "hand-poured soy candle", 42, "#7a5b3a", 0.02)
        words(draw, 450, 546, "220 g", 38, "#7a5b3a", 0.08)

    smoked = rgb("#4a1f23")
    paint = Print(900, 640, label).over(plain(smoked), wrapped(90, 58, 0.17, 0.72))
    inside_glow = lambda p, n: 0.85 * smoothstep(0.395, 0.388, np.hypot(p[0], p[2])) * smoothstep(0.5, 0.78, p[1])  # noqa: E731
    lid = union(move(cylinder(0.43, 0.035, 0.012), y=0.035), move(cylinder(0.385, 0.03, 0.004), y=0.075))
    lid = move(lid, 0.92, 0.0, 0.22)

    def fire(p: Array, n: Array) -> Array:
        up, core = np.clip((p[1] - 0.86) / 0.27, 0, 1), smoothstep(0.25, 0.95, n[2])
        outer = mix(column((0.85, 0.30, 0.05)), column((0.92, 0.50, 0.12)), up)
        return mix(outer, column((0.98, 0.84, 0.48)), core)

    parts = [
        Part(jar, Material(layered(paint, (inside_glow, rgb("#d98b4a"))), rough=0.10, f0=0.05)),
        Part(
            wax, Material(layered(rgb("#f0d9b0"), (lambda p, n: np.exp(-((p[0] ** 2 + p[2] ** 2) / 0.02)), (1.0, 0.86, 0.55))), rough=0.3, glow=0.12)
        ),
        Part(wick, Material(rgb("#2a1d15"), rough=0.9)),
        Part(flame, Material(fire, rough=1.0, f0=0.0, glow=1.0)),
        Part(lid, replace(BRASS, rough=0.30)),
    ]
    return Scene(parts, Camera((0.40, 0.49, 0), 7.4, 20, 6, 17), (0.38, 0.5, 0.05, 1.10))
