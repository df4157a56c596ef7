/* detector.c - see detector.h. */
#include "lib/model/model.h"

#include <stdio.h>
#include <string.h>

static const struct dfn_detector_shape shapes[DFN_DETECTOR_LAYERS] = {
    [DFN_P_CONV1] = {"pnet.conv1", 10, 3, 3, true},
    [DFN_P_CONV2] = {"pnet.conv2", 16, 10, 3, true},
    [DFN_P_CONV3] = {"pnet.conv3", 32, 16, 3, true},
    [DFN_P_FACE] = {"pnet.face", 2, 32, 1, false},
    [DFN_P_BOX] = {"pnet.box", 4, 32, 1, false},
    [DFN_R_CONV1] = {"rnet.conv1", 28, 3, 3, true},
    [DFN_R_CONV2] = {"rnet.conv2", 48, 28, 3, true},
    [DFN_R_CONV3] = {"rnet.conv3", 64, 48, 2, true},
    [DFN_R_DENSE4] = {"rnet.dense4", 128, 576, 0, true},
    [DFN_R_FACE] = {"rnet.face", 2, 128, 0, false},
    [DFN_R_BOX] = {"rnet.box", 4, 128, 0, false},
    [DFN_O_CONV1] = {"onet.conv1", 32, 3, 3, true},
    [DFN_O_CONV2] = {"onet.conv2", 64, 32, 3, true},
    [DFN_O_CONV3] = {"onet.conv3", 64, 64, 3, true},
    [DFN_O_CONV4] = {"onet.conv4", 128, 64, 2, true},
    [DFN_O_DENSE5] = {"onet.dense5", 256, 1152, 0, true},
    [DFN_O_FACE] = {"onet.face", 2, 256, 0, false},
    [DFN_O_BOX] = {"onet.box", 4, 256, 0, false},
    [DFN_O_POINTS] = {"onet.points", 10, 256, 0, false},
};

const struct dfn_detector_shape *dfn_detector_shape(enum dfn_detector_layer layer)
{
    return &shapes[layer];
}

static struct dfn_tensor_spec spec_of(int layer, enum dfn_part part)
{
    static const char *const parts[DFN_PARTS] = {"weight", "bias", "slope"};
    const struct dfn_detector_shape *s = &shapes[layer];
    struct dfn_tensor_spec spec = {
        .role = (enum dfn_role)part, .block = layer, .ndim = 1, .shape = {s->cout}};
    if (part == DFN_WEIGHT) {
        spec.ndim = s->kernel ? 4 : 2;
        spec.shape[1] = s->cin;
        spec.shape[2] = spec.shape[3] = s->kernel;
    }
    spec.count = 1;
    for (int i = 0; i < spec.ndim; i++)
        spec.count *= (uint64_t)spec.shape[i];
    snprintf(spec.name, sizeof spec.name, "%s.%s", s->name, parts[part]);
    return spec;
}

int dfn_detector_tensors(struct dfn_tensor_spec *out)
{
    int n = 0;
    for (int layer = 0; layer < DFN_DETECTOR_LAYERS; layer++)
        for (int part = 0; part < DFN_PARTS; part++) {
            if (part == DFN_SLOPE && !shapes[layer].slope)
                continue;
            if (out)
                out[n] = spec_of(layer, (enum dfn_part)part);
            n++;
        }
    return n;
}

/* 3 x 3, pool 2 x 2 in ceil mode, 3 x 3, 3 x 3. */
int dfn_pnet_cells(int n)
{
    return n < DFN_PNET_CELL ? 0 : (n - 2 + 1) / 2 - 4;
}

size_t dfn_detector_outputs(const struct dfn_meta *meta, int net)
{
    if (net == 0)
        return (size_t)dfn_pnet_cells(meta->ref_height) *
               (size_t)dfn_pnet_cells(meta->ref_width) * DFN_PNET_OUTPUTS;
    return net == 1 ? DFN_RNET_OUTPUTS : DFN_ONET_OUTPUTS;
}
