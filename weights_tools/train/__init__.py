"""Trains the default real/fake network: forgeries, data, network, loop, export.

Called as `python3 -m weights_tools.train COMMAND`, from an environment with torch and OpenCV
(requirements.txt in this folder); nothing else of weights_tools imports it. README.md in this
folder says how the parts fit together. Everywhere: pictures are uint8 RGB [height, width, 3],
points are (x, y) in pixels with pixel centres at whole numbers, label 0 is real, 1 is fake.
"""
