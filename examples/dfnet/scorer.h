/* scorer.h - one picture to scores: models, face boxes, combination, by the options of
 * the command line or by a pipeline file. classify.c calls it; rows.c and report.c show
 * what it gives. */
#ifndef DFNET_EXAMPLES_DFNET_SCORER_H
#define DFNET_EXAMPLES_DFNET_SCORER_H

#include "examples/dfnet/options.h"

struct scored_face {
    ef_box box;
    float found; /* the detector's confidence, 1 for a given box             */
    double fake, logit;
    ef_verdict verdict;
};

struct picture_score {
    int nfaces, whole; /* whole: the one face is the whole picture          */
    struct scored_face faces[MAX_FACES];
    int detected; /* the faces were found, with these landmarks              */
    ef_point landmarks[MAX_FACES][5];
    const ef_result *results; /* [models][MAX_FACES], owned by the scorer    */
    double fake, logit;       /* of all faces                                */
    ef_verdict verdict;       /* EF_VERDICT_NONE: there was nothing to score */
    uint64_t lacking;         /* bit i: model number i gave no score         */
    ef_top top[MAX_TOP];
    size_t ntop;
};

struct scorer {
    const struct options *o;
    ef_pipeline *pipeline; /* NULL: none         */
    ef_pipeline_info plan; /* of the pipeline    */
    int whole;             /* pictures are faces */
    /* Another detector than the pipeline's finds the faces. */
    int stands_in;
    int faces; /* the models are about faces */
    /* The first nmodels of nall score pictures, the others sequences of video frames. */
    size_t nmodels, nall;
    int said;                     /* that the others score no pictures */
    uint32_t numbers[MAX_MODELS]; /* of the models in command line, pipeline and rule   */
    const char *names[MAX_MODELS]; /* the pipeline's, or their own                      */
    ef_model *models[MAX_MODELS];
    ef_model_info infos[MAX_MODELS], first; /* first: of number 0 */
    ef_classifier *classifiers[MAX_MODELS]; /* one a model; NULL: not about faces */
    double weights[MAX_MODELS], rule_weights[MAX_MODELS]; /* the second by number       */
    ef_model *detector_model;      /* NULL: none is needed, or there is none */
    ef_detector *detector;         /* NULL: none is needed, or there is none */
    ef_error no_detector;          /* why not                                */
    ef_detection found[MAX_FACES]; /* the picture's, if it found them        */
    ef_rule rule;
    ef_result *results;      /* [nmodels][MAX_FACES]                                    */
    ef_score *scores, *work; /* [nmodels * MAX_FACES]                                   */
    ef_session *labels;      /* of --top, first model                                   */
    float *input, *values;   /* of --top: [3][height][width], [outputs]                 */
    int top;
};

/* 0, or the exit code after a sentence on standard error. scorer_close() is due in either
 * case. */
int scorer_open(struct scorer *s, const struct options *o);
/* The same in two steps. What the first loads may be shared by processes that are forked
 * before the second; only the second may start threads. */
int scorer_load(struct scorer *s, const struct options *o);
int scorer_start(struct scorer *s);
void scorer_close(struct scorer *s);

/* Name of a model, and why it gave no score. */
#define SCORER_WHY 64
const char *scorer_why(const struct scorer *s, size_t number, char why[SCORER_WHY]);

/* The same of all that are lacking, "NAME (why), ...", at most cap bytes with the NUL; ""
 * if none is. */
void scorer_lacking(const struct scorer *s, uint64_t lacking, char *words, size_t cap);

/* Fills *err as the library does and returns status. */
ef_status scorer_fail(ef_error *err, ef_status status, const char *where,
                      const char *what);

/* out->results stays valid until the next call. No face is no failure. */
ef_status scorer_score(struct scorer *s, const ef_image *img, struct picture_score *out,
                       ef_error *err);

/* Where the first model looked in face number i; map is the caller's. */
ef_status scorer_heatmap(struct scorer *s, const ef_image *img,
                         const struct picture_score *score, int i, ef_heatmap *map,
                         ef_error *err);

#endif
