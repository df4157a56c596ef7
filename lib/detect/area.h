/* area.h - pictures to normalised network input by averaging areas. Called by detect.c.
 *
 * Output pixel i of n over m input pixels is the mean of the pixels from floor(i m / n)
 * to ceil((i + 1) m / n) (exclusive), which is adaptive average pooling; it shrinks and
 * enlarges. MTCNN's weights were trained with it. */
#ifndef DFN_DETECT_AREA_H
#define DFN_DETECT_AREA_H

#include "kernels/kernels.h"
#include "lib/image/image.h"

/* One rectangle of a picture on its way to out_h x out_w. */
struct dfn_area {
    const ef_image *img;
    struct dfn_rect rect; /* inside the picture                                         */
    int out_h, out_w;
    const int *columns; /* [out_w][2]: first, end                                       */
    uint32_t *sums;     /* [rect.w][3] and one more, scratch of one thread              */
    uint8_t *row;       /* [picture width][3], the same                                 */
    const struct dfn_kernels *kernels;
};

/* Fills columns [out_w][2] for w input pixels. */
void dfn_area_columns(int w, int out_w, int *columns);

/* Output row y, [out_w][3], R G B, each (mean - 127.5) / 128. */
void dfn_area_row(const struct dfn_area *a, int y, float *out);

#endif
