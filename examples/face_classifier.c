/* face_classifier.c - scores photos: is this face real or fake?
 *
 * A program as a user of the library would write it: dfnet.h and nothing behind it. Data
 * goes to stdout, everything else to stderr; one bad picture never stops the rest. */
#include "examples/labels.h"
#include "examples/output.h"

#include <getopt.h>
#include <string.h>

static const char help[] =
    "face_classifier photo.jpg                 are the faces in this picture fake?\n"
    "face_classifier --whole face.jpg             ... the face that fills it?\n"
    "face_classifier --box 150,40,150,150 a.png   ... the face in this box (x,y,w,h)\n"
    "face_classifier --json folder/ > out.jsonl   every picture below, a JSON line each\n"
    "cat photo.jpg | face_classifier -            from standard input\n"
    "face_classifier --model imagenet.safetensors --top 5 cat.png   labels of any model\n"
    "\n"
    "  --model FILE   model file (default: $DFNET_MODEL, else the one that is shipped)\n"
    "  --box X,Y,W,H  where a face is, in pixels; may be given several times\n"
    "  --whole        the picture is a face already. So it is taken, too, where there "
    "is\n"
    "                 no --box and no detector (./dev detector) to look for faces\n"
    "  --top K        also the K most likely labels of the whole picture\n"
    "  --threads N    0 (default): one for each CPU\n"
    "  --json         one JSON object a line instead of a table\n"
    "  --version, --help\n"
    "\n"
    "Exit: 0 all scored, 1 usage, 2 some pictures failed, 3 all failed, 4 model\n"
    "unusable, 5 out of memory, 130 interrupted. A score is a hint, never a proof:\n"
    "README.md says what the default model can and cannot do.\n";

#define MAX_FACES 256

struct app {
    ef_options opt;
    ef_model *model;
    ef_classifier *classifier; /* NULL: the model is not about faces */
    ef_detector *detector;     /* NULL: boxes are given, or `whole`  */
    struct labels labels;      /* of --top                           */
    int top, json, whole, nboxes;
    long scored, failed;
    ef_status worst; /* EF_E_NOMEM if that ever happened */
    ef_box boxes[MAX_FACES];
};

static int fail(struct app *a, const char *path, const ef_error *err)
{
    a->failed++;
    if (err->status == EF_E_NOMEM)
        a->worst = EF_E_NOMEM;
    out_error(a->json, path, err);
    return err->status == EF_E_CANCELLED;
}

/* results: room for MAX_FACES; *n: how many were written. No face is no failure. */
static ef_status score(struct app *a, const ef_image *img, ef_result *results, size_t *n,
                       ef_error *err)
{
    static ef_detection found[MAX_FACES];
    for (int i = 0; i < MAX_FACES; i++)
        ef_result_init(&results[i], sizeof results[i]);
    *n = a->whole ? 1 : (size_t)a->nboxes;
    if (a->whole)
        return ef_classify_face(a->classifier, img, NULL, results, err);
    if (a->nboxes)
        return ef_classify_faces(a->classifier, img, a->boxes, *n, results, err);
    const ef_status st = ef_detect_faces(a->detector, img, found, MAX_FACES, n, err);
    *n = *n < MAX_FACES ? *n : MAX_FACES;
    if (st || !*n)
        return st;
    return ef_classify_detections(a->classifier, img, found, *n, results, err);
}

static int one_file(void *user, const char *path)
{
    static ef_result results[MAX_FACES];
    struct app *a = user;
    ef_image img = {0};
    ef_error err;
    ef_top top[100];
    size_t ntop = 0, n = 0;
    ef_status st = strcmp(path, "-") ? ef_image_decode_file(path, &a->opt, &img, &err)
                                     : ef_image_decode_fd(0, &a->opt, &img, &err);
    if (!st && a->classifier)
        st = score(a, &img, results, &n, &err);
    if (!st && a->top)
        st = labels_of(&a->labels, &img, top, (size_t)a->top, &ntop, &err);
    ef_image_free(&img);
    if (st)
        return fail(a, path, &err);
    a->scored++;
    const struct out_row row = {path,     results, (int)n, a->classifier != NULL,
                                a->whole, top,     ntop,   a->model};
    out_row(a->json, &row);
    return ex_cancel(NULL);
}

static ef_status open_model(struct app *a, const char *path, ef_error *err)
{
    ef_model_info info;
    ef_status st = path ? ef_model_load_file(path, &a->opt, &a->model, err)
                        : ef_model_load_default(&a->opt, &a->model, err);
    ef_model_info_init(&info, sizeof info);
    if (!st)
        st = ef_model_get_info(a->model, &info, err);
    if (!st && info.fake >= 0)
        st = ef_classifier_create_simple(a->model, &a->opt, &a->classifier, err);
    else if (!a->top)
        a->top = 5;
    return !st && a->top ? labels_open(&a->labels, a->model, &a->opt, err) : st;
}

static ef_status open_detector(struct app *a, ef_error *err)
{
    ef_model *model = NULL;
    if (!a->classifier || a->whole || a->nboxes)
        return EF_OK;
    ef_status st = ef_detector_model_load_default(&a->opt, &model, err);
    if (!st)
        st = ef_detector_create(model, NULL, &a->opt, &a->detector, err);
    ef_model_free(model);
    if (!st || st == EF_E_NOMEM)
        return st;
    fprintf(stderr,
            "face_classifier: no face detector (%s): each picture is taken as one face; "
            "--box says where one is, --whole silences this\n",
            err->what);
    a->whole = 1;
    return EF_OK;
}

static int parse(struct app *a, int argc, char **argv, const char **model)
{
    enum { MODEL = 256, BOX, TOP, THREADS, VERSION };
    static const struct option options[] = {
        {"model", 1, 0, MODEL},     {"box", 1, 0, BOX},   {"top", 1, 0, TOP},
        {"threads", 1, 0, THREADS}, {"json", 0, 0, 'j'},  {"help", 0, 0, 'h'},
        {"version", 0, 0, VERSION}, {"whole", 0, 0, 'w'}, {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "hw", options, NULL)) != -1;) {
        int ok = 1;
        if (o == MODEL)
            *model = optarg;
        else if (o == BOX)
            ok = a->nboxes < MAX_FACES && ex_parse_box(optarg, &a->boxes[a->nboxes++]);
        else if (o == TOP)
            ok = ex_parse_int(optarg, 1, 100, &a->top);
        else if (o == THREADS)
            ok = ex_parse_int(optarg, 0, 64, &a->opt.threads);
        else if (o == 'j')
            a->json = 1;
        else if (o == 'w')
            a->whole = 1;
        else if (o == 'h')
            return fputs(help, stdout), 0;
        else if (o == VERSION)
            return printf("face_classifier %d.%d.%d\n", EF_VERSION_MAJOR,
                          EF_VERSION_MINOR, EF_VERSION_PATCH),
                   0;
        else
            return fputs("try face_classifier --help\n", stderr), EX_USAGE;
        if (!ok)
            return fprintf(stderr, "face_classifier: wrong value '%s'; try --help\n",
                           optarg),
                   EX_USAGE;
    }
    if (a->whole && a->nboxes)
        return fputs("face_classifier: --whole does not go with --box\n", stderr),
               EX_USAGE;
    return optind < argc ? -1 : (fputs(help, stderr), EX_USAGE);
}

static int classify_all(struct app *a, int argc, char **argv)
{
    if (a->classifier)
        out_begin(a->json);
    for (int i = optind; i < argc; i++) {
        const long found = ex_each_picture(argv[i], one_file, a);
        if (found < 0)
            break;
        if (!found) {
            ef_error err = {EF_E_IO, 0, "folder",
                            "holds no picture (.jpg .png .bmp .pnm)"};
            fail(a, argv[i], &err);
        }
    }
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    if (a->worst == EF_E_NOMEM)
        return EX_NO_MEMORY;
    return !a->failed ? EX_DONE : a->scored ? EX_SOME_FAILED : EX_ALL_FAILED;
}

int main(int argc, char **argv)
{
    static struct app a;
    const char *model = NULL;
    ef_error err = {EF_OK, 0, "", ""};
    ef_options_init(&a.opt, sizeof a.opt);
    a.opt.threads = 0;
    a.opt.cancel = ex_cancel;
    int code = parse(&a, argc, argv, &model);
    if (code < 0) {
        ex_one_blas_thread();
        ex_catch_interrupt();
        if (open_model(&a, model, &err) || open_detector(&a, &err)) {
            fprintf(stderr, "face_classifier: model: %s: %s\n", err.where, err.what);
            code = err.status == EF_E_NOMEM ? EX_NO_MEMORY : EX_MODEL;
        } else {
            code = classify_all(&a, argc, argv);
        }
    }
    labels_close(&a.labels);
    ef_classifier_free(a.classifier);
    ef_detector_free(a.detector);
    ef_model_free(a.model);
    return fflush(stdout) || ferror(stdout) ? EX_ALL_FAILED : code;
}
