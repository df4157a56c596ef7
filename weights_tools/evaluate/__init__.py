"""How good is a face model, on which pictures, and what does it withstand?

The command line's `evaluate` and `calibrate` (commands.py). Needs the packages of
requirements-evaluate.txt and a built libdfnet; the rest of weights_tools needs neither.

    pictures.py      a folder with real/ and fake/ to pictures, prepared alike
    alterations.py   what may have happened to a picture: 20 kinds, 5 levels
    scoring.py       libdfnet over pictures: full frame, face crop or whole picture
    bench.py         every picture in every cell; figures of every cell
    clips.py         the same for clips: frames, motions, H.264
    clip_scoring.py  clips through dfnet classify
    metrics.py       AUC with interval, log loss, verdicts, calibration error
    control.py       what thumbnails, sharpness and file size alone reach
    calibration.py   temperature and thresholds from scores
    report.py        table and JSON; plots.py curves
"""
