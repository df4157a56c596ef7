/* picture.h - small pictures for the report and PNG into files. Pixels are RGB8 as the
 * decoders give them, rows from top to bottom. */
#ifndef DFNET_EXAMPLES_DFNET_PICTURE_H
#define DFNET_EXAMPLES_DFNET_PICTURE_H

#include "dfnet/dfnet.h"

#include <stdio.h>

/* How strongly a heat map covers the picture, 0 to 1. */
#define HEATMAP_OPACITY 0.55f

/* An ef_write_fn: user is a FILE. */
int picture_to_file(void *user, const char *bytes, size_t length);

/* The part of img that area touches, scaled down by averaging so that no side is longer
 * than `side`; never enlarged. img must be RGB8. scale: what to multiply a distance in
 * img with. out's pixels are from malloc: picture_free(). 0, or -1: out of memory, or
 * nothing of the area lies in the picture. */
int picture_shrink(const ef_image *img, ef_box area, int side, ef_image *out,
                   float *scale, ef_box *cut);
void picture_free(ef_image *img);

/* Writes img as a data: URI of a PNG. 0 if there is none (EF_E_UNSUPPORTED without
 * libpng), and then nothing was written. */
int picture_data_uri(FILE *f, const ef_image *img, const ef_options *opt);

#endif
