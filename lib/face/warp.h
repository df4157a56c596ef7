/* warp.h - faces turned upright: the similarity that carries five landmarks to a
 * template, and the picture resampled by it. Called by preprocess.c.
 *
 * A 2 x 3 matrix is m[6], row by row: x' = m[0] x + m[1] y + m[2], y' = m[3] x + m[4] y +
 * m[5]. Pixel centres have whole coordinates, as in OpenCV. */
#ifndef DFN_FACE_WARP_H
#define DFN_FACE_WARP_H

#include "lib/image/image.h"

#define DFN_LANDMARKS 5

/* The rotation, scale and shift (no mirroring) with the least sum of squared distances
 * between from[i], carried over, and to[i] (Umeyama, PAMI 1991; in the plane it is one
 * complex regression). Both hold x1, y1, ..., x5, y5. False if from is one point. */
bool dfn_similarity(const double from[2 * DFN_LANDMARKS],
                    const double to[2 * DFN_LANDMARKS], double m[6]);

/* The matrix that carries back; m is invertible. */
void dfn_invert(const double m[6], double inverse[6]);

/* out [height][width][3] RGB: the pixel of img that m carries there, bilinear in OpenCV's
 * fixed point (cv2.warpAffine, INTER_LINEAR, constant border): positions in 1/32 pixel,
 * weights in 1/1024. Outside img is the colour pad. m is invertible and finite. */
void dfn_warp_affine(const ef_image *img, const double m[6], const uint8_t pad[3],
                     uint8_t *out, int width, int height);

#endif
