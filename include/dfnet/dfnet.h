/* dfnet.h - EfficientNet inference and real/fake face scoring, in C.
 *
 * Three ways in; take the first that does the job:
 *
 *   a face to a verdict      ef_classifier + ef_classify_face()
 *   numbers in, numbers out  ef_model + ef_session + ef_session_run()
 *   looking inside           ef_session_explain(), ef_session_times(), ef_session_tap()
 *
 *     ef_model *model; ef_classifier *c; ef_image img; ef_result r;
 *     ef_result_init(&r, sizeof r);
 *     if (ef_model_load_default(NULL, &model, &err)) ...err.what says why
 *     ef_classifier_create_simple(model, NULL, &c, &err);
 *     ef_image_decode_file("photo.jpg", NULL, &img, &err);
 *     ef_classify_face(c, &img, NULL, &r, &err);       r.fake is in [0,1]
 *
 * Objects
 *   ef_model       weights and facts. Immutable once loaded: any number of threads may
 *                  use one at the same time. Freed when its last user lets go of it.
 *   ef_session     one network, planned for one input size. One thread at a time.
 *                  Allocates when created, never while it runs.
 *   ef_detector    picture to faces: boxes and landmarks. One thread at a time. Allocates
 *                  only when a picture is larger than every picture before it.
 *   ef_classifier  picture to verdict: one or more models, perhaps a detector. One thread
 *                  at a time. Allocates only when a picture needs more work space than
 *                  every picture before it.
 *   ef_video       frames to a verdict for each person. One thread at a time; may have
 *                  threads of its own.
 *   ef_image       a plain struct that points at pixels.
 *
 * Ownership  What a function hands out through its `out` pointer is yours: give it to
 *            the matching ef_*_free() once. All _free functions accept NULL. Whatever
 *            you pass as const is borrowed for the call only, unless said otherwise.
 * Errors     Functions return EF_OK (0) or a negative ef_status. On failure `out` is
 *            untouched and err, if not NULL, holds a place and one English sentence.
 *            The library never exits, aborts or prints, and keeps errno as it was.
 * Threads    See Objects. Functions that take no object may be called from any thread.
 *            After fork() the child may use models, and sessions and classifiers of one
 *            thread; those of more have left their threads in the parent: use, and free,
 *            them there, and make new ones in the child.
 *            The library's own threads block every signal, sleep between runs, and end
 *            with their session or detector; or bring your own: ef_options.pool.
 * Floats     The arithmetic of a run rounds to nearest, never traps, and takes denormal
 *            numbers (below 1.2e-38) as 0, in every thread, whatever the caller has set;
 *            the caller's setting is the same afterwards, and in callbacks.
 * Growth     A struct that begins with struct_size may grow at its end in later
 *            versions: fill it with its _init function, then set what you need.
 * Stability  What is declared here stays within one EF_VERSION_MAJOR (from 1 on;
 *            before that within one EF_VERSION_MINOR).
 */
#ifndef DFNET_DFNET_H
#define DFNET_DFNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EF_API __attribute__((visibility("default")))
#else
#define EF_API
#endif

/* ---- version ---------------------------------------------------------------------- */

#define EF_VERSION_MAJOR 0
#define EF_VERSION_MINOR 1
#define EF_VERSION_PATCH 0

/* Version of the library in memory, 0x00MMmmpp; compare with the macros above. */
EF_API uint32_t ef_version(void);

/* ---- errors ------------------------------------------------------------------------ */

/* X(name, number, text): one list, so that number, name and text cannot part. */
#define EF_STATUS_LIST(X)                                                                \
    X(EF_OK, 0, "success")                                                               \
    X(EF_E_ARG, -1, "wrong argument")                                                    \
    X(EF_E_NOMEM, -2, "out of memory")                                                   \
    X(EF_E_IO, -3, "input or output failed")                                             \
    X(EF_E_FORMAT, -4, "damaged, or not a file of this kind")                            \
    X(EF_E_VERSION, -5, "made for a newer version of this library")                      \
    X(EF_E_UNSUPPORTED, -6, "sound, but not supported by this build")                    \
    X(EF_E_LIMIT, -7, "larger than the limits allow")                                    \
    X(EF_E_NO_FACE, -8, "no face found")                                                 \
    X(EF_E_CANCELLED, -9, "cancelled by the caller")                                     \
    X(EF_E_THREAD, -10, "a thread could not be started")                                 \
    X(EF_E_NUMERIC, -11, "numbers are not what they must be")

typedef enum ef_status {
#define EF_STATUS_ENUM(name, number, text) name = number,
    EF_STATUS_LIST(EF_STATUS_ENUM)
#undef EF_STATUS_ENUM
} ef_status;

/* Filled by the function that fails; lives wherever you put it. */
typedef struct ef_error {
    ef_status status;
    int sys;        /* errno of the failing system call, or 0                           */
    char where[96]; /* file, tensor or argument: "tensor blocks.3.depthwise.weight"     */
    char what[256]; /* one English sentence without newline                             */
} ef_error;

/* Static text of a status, e.g. "out of memory"; never NULL. */
EF_API const char *ef_strerror(ef_status status);

/* ---- options ----------------------------------------------------------------------- */

/* CPU levels. A session uses the best kernels that both the machine and
 * ef_options.cpu_mask allow; with mask 0 it uses the portable reference kernels. */
#define EF_CPU_AVX2 0x1u   /* AVX2, FMA and F16C                                        */
#define EF_CPU_AVX512 0x2u /* AVX-512 F, BW, DQ, VL                                     */
#define EF_CPU_NEON 0x4u   /* AArch64 Advanced SIMD                                     */
#define EF_CPU_ALL 0xffffffffu

/* What this machine offers, as EF_CPU_ bits. */
EF_API uint32_t ef_cpu_features(void);

/* Who multiplies matrices. AUTO takes NATIVE where the CPU level has kernels of its own
 * (they are faster: benchmarks/README.md); elsewhere OpenBLAS, when the library was built
 * with it and OpenBLAS reports one thread (the library never changes that number:
 * programs do, with openblas_set_num_threads()), else NATIVE. Results are the same bits
 * for any thread count, batch position and run at one CPU level with NATIVE only. */
typedef enum ef_gemm {
    EF_GEMM_AUTO = 0,
    EF_GEMM_NATIVE = 1,
    EF_GEMM_OPENBLAS = 2
} ef_gemm;

/* Your allocator. alloc returns NULL when it has nothing; alignment as malloc's is
 * enough. Both are called only from threads that call the library (an ef_video's also
 * from its own, one at a time); a model's also from every thread that makes a session of
 * it, so give it a thread-safe one if you do that. Third-party code below the library
 * (libjpeg, libpng, OpenBLAS) does not use it. */
typedef struct ef_allocator {
    void *(*alloc)(void *user, size_t size);
    void (*free)(void *user, void *block);
    void *user;
} ef_allocator;

/* One of the tasks that the library hands to your pool. */
typedef void ef_task_fn(void *context, int task);

/* Your threads in the place of the library's own, e.g. those of a server that must not
 * have more. run() calls task(context, i) once for each i from 0 to n - 1, in any order
 * and on any threads, the calling one among them or not, and returns when all have
 * returned; n is at most `workers`. It is called some hundred times in each run, so it
 * should not take long to begin; a run that is over has no task left. Tasks never wait
 * for each other: fewer threads than tasks are fine. Sessions that share a pool call
 * run() at the same time if you run them at the same time. A run() that returns too early
 * makes the call fail with EF_E_THREAD. */
typedef struct ef_pool {
    int workers; /* tasks that work is divided into, 1 to 64: about as many as threads  */
    void (*run)(void *user, ef_task_fn *task, void *context, int n);
    void *user;
} ef_pool;

/* Levels: 1 once per process or model, 2 once per session, 3 once per run. */
typedef void ef_log_fn(void *user, int level, const char *line);

/* Asked by the calling thread between the steps of a run and within long ones, so about
 * every millisecond on a fast machine; not 0 ends the run with EF_E_CANCELLED. */
typedef int ef_cancel_fn(void *user);

/* Bounds on what hostile input can make the library do; checked before allocation. */
typedef struct ef_limits {
    uint64_t max_file_bytes; /* of a model or picture file; default 4 GiB               */
    uint64_t max_pixels;     /* width * height of a decoded picture; default 128 Mi     */
} ef_limits;

typedef struct ef_options {
    size_t struct_size;
    int threads;       /* 1: the caller's thread only (default), none is made; 0: one
                          for each CPU that this process may use, by its affinity mask
                          and its control groups' quota (rounded up); at most 64        */
    uint32_t cpu_mask; /* default EF_CPU_ALL                                            */
    ef_gemm gemm;      /* default EF_GEMM_AUTO                                          */
    int height, width; /* input of a session; 0, 0: the model's own. 32 to 4096         */
    int batch;         /* most inputs in one run; default 1, at most 1024               */
    ef_limits limits;
    ef_allocator allocator; /* both functions NULL: malloc and free (default)           */
    ef_log_fn *log;         /* NULL: silent                                             */
    void *log_user;
    ef_cancel_fn *cancel; /* NULL: never                                                */
    void *cancel_user;
    ef_pool pool; /* its run not NULL: used by everything made with these options in the
                     place of threads of the library; `threads` then says nothing       */
} ef_options;

/* Writes the defaults into the first struct_size bytes of *opt; pass sizeof *opt.
 * Wherever a function takes options, NULL means the defaults. */
EF_API void ef_options_init(ef_options *opt, size_t struct_size);

/* ---- models ------------------------------------------------------------------------ */

typedef struct ef_model ef_model;

/* Reads a model file (weights_tools/FORMAT.md), checks all of it, hash included, and
 * prepares it. Nothing of the file is needed afterwards.
 * EF_E_IO, EF_E_LIMIT, EF_E_FORMAT, EF_E_VERSION, EF_E_UNSUPPORTED, EF_E_NOMEM. */
EF_API ef_status ef_model_load_file(const char *path, const ef_options *opt,
                                    ef_model **out, ef_error *err);

/* The same from size bytes of memory, which are borrowed for the call only. */
EF_API ef_status ef_model_load_memory(const void *data, size_t size,
                                      const ef_options *opt, ef_model **out,
                                      ef_error *err);

/* The same from a file descriptor, from its position to its end (a pipe will do).
 * The descriptor stays open and yours. */
EF_API ef_status ef_model_load_fd(int fd, const ef_options *opt, ef_model **out,
                                  ef_error *err);

/* The default real/fake model: the file that the environment variable DFNET_MODEL
 * names, else the installed one, else the one in the build tree's sources. */
EF_API ef_status ef_model_load_default(const ef_options *opt, ef_model **out,
                                       ef_error *err);

/* Writes the path that ef_model_load_default() would read, with its NUL, into at most
 * cap bytes of buf; EF_E_LIMIT if it does not fit, EF_E_IO if there is no such file. */
EF_API ef_status ef_model_default_path(char *buf, size_t cap, ef_error *err);

/* Lets go of the model; sessions and classifiers that use it keep it alive. */
EF_API void ef_model_free(ef_model *model);

typedef struct ef_model_info {
    size_t struct_size;
    char name[128];      /* for people                                                  */
    char variant[16];    /* "b0".."b8", "l2", "lite0".., "v2-s".., "custom"; "mtcnn": a
                            face detector, for which only name, hash, parameters and
                            bytes are filled in                                         */
    char hash[33];       /* XXH3-128 of the file, 32 hexadecimal digits                 */
    int height, width;   /* input the model was made for                                */
    int outputs;         /* logits of one input                                         */
    int fake;            /* index of the output that means fake, or -1                  */
    int softmax;         /* 1: softmax over the outputs, 0: sigmoid of each             */
    int blocks;          /* MBConv and FusedMBConv blocks                               */
    uint64_t parameters; /* weights and biases, BN folded                               */
    uint64_t macs;       /* multiply-adds of one input of height x width                */
    uint64_t file_bytes;
    uint64_t bytes_needed; /* the most memory that loading holds at once, by the
                              allocator hook's count, not counting file mappings        */
    float temperature;
    float real_below; /* verdict real if fake-probability <  real_below                 */
    float fake_from;  /* verdict fake if fake-probability >= fake_from                  */
    int frames;       /* pictures that the network takes together: 1, or those of a
                         sequence                                                       */
    int maps;         /* attention maps (WS-DAN), or 0                                  */
    int looks;        /* how often it looks at a picture for a score: 1, or 2           */
} ef_model_info;

EF_API void ef_model_info_init(ef_model_info *info, size_t struct_size);
EF_API ef_status ef_model_get_info(const ef_model *model, ef_model_info *info,
                                   ef_error *err);

/* Checks a file as ef_model_load_file() does and keeps nothing. info may be NULL. */
EF_API ef_status ef_model_validate_file(const char *path, const ef_options *opt,
                                        ef_model_info *info, ef_error *err);
EF_API ef_status ef_model_validate_memory(const void *data, size_t size,
                                          const ef_options *opt, ef_model_info *info,
                                          ef_error *err);

/* Value of a metadata key of weights_tools/FORMAT.md, e.g. "dfnet.license"; NULL if the
 * file has no such key. Owned by the model. */
EF_API const char *ef_model_metadata(const ef_model *model, const char *key);

/* Label of an output, or NULL if the model has none. Owned by the model. */
EF_API const char *ef_model_label(const ef_model *model, int output);

/* Runs the reference input that the file carries and compares with its logits.
 * *difference (may be NULL) gets the largest absolute difference, *tolerance (may be
 * NULL) what is allowed. EF_E_NUMERIC if it is above. */
EF_API ef_status ef_model_verify(const ef_model *model, const ef_options *opt,
                                 double *difference, double *tolerance, ef_error *err);

/* Logits to probabilities as the model's head says (temperature, then sigmoid or
 * softmax). Both arrays hold `outputs` floats and may be the same. */
EF_API ef_status ef_model_probabilities(const ef_model *model, const float *logits,
                                        float *probabilities, ef_error *err);

typedef struct ef_top {
    int output;  /* index of the output                                                 */
    float value; /* its value                                                           */
} ef_top;

/* The k greatest of n values, greatest first, equal values by rising index, NaN last.
 * Returns how many were written: min(k, n), or 0 for wrong arguments. */
EF_API size_t ef_top_k(const float *values, size_t n, ef_top *out, size_t k);

/* ---- images ------------------------------------------------------------------------ */

typedef enum ef_format {
    EF_RGB8 = 1,  /* 3 bytes a pixel: R, G, B                                           */
    EF_BGR8 = 2,  /* 3: B, G, R                                                         */
    EF_RGBA8 = 3, /* 4: R, G, B, A; A is ignored                                        */
    EF_GRAY8 = 4  /* 1: taken as R = G = B                                              */
} ef_format;

/* Pixels, rows from top to bottom. To wrap your own, fill it with owner = NULL. */
typedef struct ef_image {
    const uint8_t *pixels;
    int32_t width, height; /* 1 to 65535                                                */
    ptrdiff_t stride;      /* bytes from a row to the next below; may be negative       */
    ef_format format;
    void *owner; /* not NULL: decoded by the library                                    */
} ef_image;

/* JPEG, PNG, BMP or PNM bytes to RGB8, upright (EXIF orientation applied), alpha
 * composited on black, 16 bits scaled to 8. EF_E_FORMAT: damaged or of another kind;
 * EF_E_UNSUPPORTED: CMYK and others; EF_E_LIMIT: more than limits.max_pixels. */
EF_API ef_status ef_image_decode_memory(const void *data, size_t size,
                                        const ef_options *opt, ef_image *out,
                                        ef_error *err);
EF_API ef_status ef_image_decode_file(const char *path, const ef_options *opt,
                                      ef_image *out, ef_error *err);
EF_API ef_status ef_image_decode_fd(int fd, const ef_options *opt, ef_image *out,
                                    ef_error *err);

/* Frees decoded pixels and zeroes the struct; harmless on wrapped or zeroed ones. */
EF_API void ef_image_free(ef_image *img);

typedef struct ef_box {
    float x, y, w, h; /* pixels; x, y is the top left corner                            */
} ef_box;

/* Picture to network input as the model's file says (crop rule, resize, mean and std).
 * face: NULL for the whole picture, else the face's box. out: [3][height][width] floats
 * with the model's own height and width. */
EF_API ef_status ef_model_preprocess(const ef_model *model, const ef_options *opt,
                                     const ef_image *img, const ef_box *face, float *out,
                                     ef_error *err);

typedef struct ef_point {
    float x, y; /* pixels                                                               */
} ef_point;

/* As ef_model_preprocess() of a face, for a model whose file has a template
 * (dfnet.face.align): the picture is turned, scaled and shifted so that the landmarks
 * come as close to the template as they can. landmarks [5]: left eye, right eye, nose,
 * left and right corner of the mouth, as the picture shows them. EF_E_ARG: the model has
 * no template. */
EF_API ef_status ef_model_preprocess_aligned(const ef_model *model, const ef_options *opt,
                                             const ef_image *img,
                                             const ef_point *landmarks, float *out,
                                             ef_error *err);

/* Gives n boxes of one face in several frames one size: squares around their own centres
 * with the longest side of any, so that crops of them show the face at one scale. */
EF_API ef_status ef_boxes_common_side(ef_box *boxes, size_t n, ef_error *err);

/* ---- sessions ---------------------------------------------------------------------- */

typedef struct ef_session ef_session;

/* Plans the network for opt->height x opt->width and up to opt->batch inputs and
 * allocates everything that runs will need. A network of sequences counts their pictures,
 * and its batch is rounded up to whole sequences. */
EF_API ef_status ef_session_create(const ef_model *model, const ef_options *opt,
                                   ef_session **out, ef_error *err);
EF_API void ef_session_free(ef_session *session);

/* input: [n][3][height][width] floats, normalised; logits: [n][outputs]. n from 1 to the
 * session's batch, of a network of sequences a multiple of ef_model_info.frames: whole
 * sequences one behind the other. A model with a second look gives its first look's
 * logits here. Allocates nothing. EF_E_ARG, EF_E_CANCELLED, EF_E_THREAD (of a pool of
 * yours). */
EF_API ef_status ef_session_run(ef_session *session, const float *input, int n,
                                float *logits, ef_error *err);

/* Both looks of a model with attention maps whose file asks for a second (dfnet.look): it
 * looks once more at the part of each input that the maps attend to, enlarged.
 * logits: [n][3][outputs], those of the first look, of the second, and of both together;
 * parts: [n] or NULL, what the second look saw, in pixels of the input. EF_E_UNSUPPORTED
 * for other models. */
EF_API ef_status ef_session_look(ef_session *session, const float *input, int n,
                                 float *logits, ef_box *parts, ef_error *err);

/* Height, width, batch and outputs of the session; any pointer may be NULL. */
EF_API ef_status ef_session_shape(const ef_session *session, int *height, int *width,
                                  int *batch, int *outputs, ef_error *err);

/* Bytes that the session holds, its share of the model not counted. */
EF_API size_t ef_session_memory(const ef_session *session);

/* Receives text (or bytes, where said so); not 0 stops the caller. */
typedef int ef_write_fn(void *user, const char *text, size_t length);

/* The plan as a table: step, kernel, shapes, MACs, arena offset, time if profiled. */
EF_API ef_status ef_session_explain(const ef_session *session, ef_write_fn *write,
                                    void *user, ef_error *err);

typedef struct ef_step_time {
    const char *name;   /* layer, e.g. "blocks.3.depthwise"; owned by the session       */
    const char *kernel; /* e.g. "dfn_f32_dwconv__ref"                                   */
    uint64_t macs;      /* of one input                                                 */
    uint64_t ns;        /* of the last run; 0 until ef_session_profile(session, 1), and
                           where the next step did this one's work, too                 */
} ef_step_time;

EF_API ef_status ef_session_profile(ef_session *session, int on, ef_error *err);

/* Fills at most cap rows, returns the number of steps (0 for a NULL session). */
EF_API size_t ef_session_times(const ef_session *session, ef_step_time *out, size_t cap);

/* Called after each step of a run with its output: NHWC, [n][h][w][c] floats, valid
 * during the call only. Not 0 ends the run with EF_E_CANCELLED. NULL removes it. With a
 * tap a session holds every tensor, which takes more memory: EF_E_NOMEM. */
typedef int ef_tap_fn(void *user, const char *name, const float *data, int n, int h,
                      int w, int c);
EF_API ef_status ef_session_tap(ef_session *session, ef_tap_fn *tap, void *user,
                                ef_error *err);

/* ---- finding faces ----------------------------------------------------------------- */

/* The detector MTCNN (Zhang et al. 2016): boxes and five landmarks. Its weights are those
 * of the PyPI package facenet-pytorch, converted by `./dev detector` or
 * `python3 -m weights_tools convert-mtcnn`, and results equal that package's.
 *
 *     ef_model *model; ef_detector *d; ef_detection faces[16]; size_t n;
 *     if (ef_detector_model_load_default(NULL, &model, &err)) ...err.what says how
 *     ef_detector_create(model, NULL, NULL, &d, &err);
 *     ef_detect_faces(d, &img, faces, 16, &n, &err);
 *
 * A detector is used by one thread at a time, shares the work out to opt->threads, and
 * allocates only when a picture is larger than every picture before it. */
typedef struct ef_detector ef_detector;

typedef struct ef_detection {
    ef_box box;  /* may reach over the picture's edges                                  */
    float score; /* the last network's probability of a face, in [0,1]                  */
    ef_point landmarks[5]; /* eyes, nose, corners of the mouth; left ones in the picture
                              before right ones                                         */
} ef_detection;

typedef struct ef_detector_options {
    size_t struct_size;
    double min_face; /* side in pixels of the smallest face looked for, 6 to 65535; 0:
                        the model's (20). Time grows with its inverse square            */
    double thresholds[3]; /* probabilities that the three networks ask for, each in
                             (0,1); all 0: the model's (0.6, 0.7, 0.7)                  */
    double factor;        /* step of the picture pyramid, 0.1 to 0.95; 0: the model's   */
    double scale;  /* in (0,1]: the picture is first scaled down so (Pillow's bicubic);
                      results are in pixels of the picture that was given. Default 1    */
    int max_faces; /* the largest ones only; 0 (default): all                           */
} ef_detector_options;

EF_API void ef_detector_options_init(ef_detector_options *opt, size_t struct_size);

/* model: a detector's (ef_model_info.variant "mtcnn"), kept. what = NULL: the defaults.
 * Of opt, threads, pool, cpu_mask, allocator, log and cancel count. EF_E_ARG, EF_E_NOMEM,
 * EF_E_THREAD. */
EF_API ef_status ef_detector_create(const ef_model *model,
                                    const ef_detector_options *what,
                                    const ef_options *opt, ef_detector **out,
                                    ef_error *err);
EF_API void ef_detector_free(ef_detector *detector);

/* Finds the faces of a picture, the one with the largest box first. Writes at most cap of
 * them to out, and to *n how many there are, which may be more than cap; none is no
 * failure. out may be NULL if cap is 0. EF_E_ARG, EF_E_NOMEM, EF_E_LIMIT,
 * EF_E_CANCELLED; then out and *n are untouched. */
EF_API ef_status ef_detect_faces(ef_detector *detector, const ef_image *img,
                                 ef_detection *out, size_t cap, size_t *n, ef_error *err);

/* Bytes that the detector holds, its share of the model not counted. */
EF_API size_t ef_detector_memory(const ef_detector *detector);

/* Loads the face detector: the file that the environment variable DFNET_DETECTOR names,
 * else the installed one, else the one that `./dev detector` made in the source tree. */
EF_API ef_status ef_detector_model_load_default(const ef_options *opt, ef_model **out,
                                                ef_error *err);

/* ---- real or fake ------------------------------------------------------------------ */

typedef struct ef_classifier ef_classifier;

/* How the scores of several models become one. */
typedef enum ef_aggregate {
    EF_AGG_MEAN_PROB = 0, /* weighted mean of probabilities                             */
    EF_AGG_MEAN_LOGIT = 1 /* weighted mean of logits, then the sigmoid                  */
} ef_aggregate;

typedef struct ef_classifier_options {
    size_t struct_size;
    const ef_model *const *models; /* each with a fake output                           */
    const float *weights;          /* model_count weights > 0, or NULL: all equal       */
    size_t model_count;            /* 1 to 64                                           */
    const ef_model *detector;      /* NULL: none; EF_FACE_DETECT is then unsupported.
                                      Used with its own defaults                        */
    ef_aggregate aggregate;
    float real_below, fake_from; /* verdict thresholds; both < 0: the first model's     */
} ef_classifier_options;

EF_API void ef_classifier_options_init(ef_classifier_options *opt, size_t struct_size);

/* opt->batch is the number of faces scored in one go (rounded up to whole
 * sequences, which are all of one length); height and width are ignored
 * (each model has its own). The arrays are borrowed for the call, the models kept. */
EF_API ef_status ef_classifier_create(const ef_classifier_options *what,
                                      const ef_options *opt, ef_classifier **out,
                                      ef_error *err);

/* The same with one model and the defaults. */
EF_API ef_status ef_classifier_create_simple(const ef_model *model, const ef_options *opt,
                                             ef_classifier **out, ef_error *err);
EF_API void ef_classifier_free(ef_classifier *classifier);

typedef enum ef_face_mode {
    EF_FACE_WHOLE = 0, /* the picture is a face crop already; no margin is added        */
    EF_FACE_BOX = 1,   /* the face is in box; cropped as the model's file says. A model
                          that aligns by landmarks refuses it                           */
    EF_FACE_DETECT = 2 /* find it: the largest face of the picture, cropped or aligned
                          as the model's file says; EF_E_NO_FACE if there is none,
                          EF_E_UNSUPPORTED without a detector                           */
} ef_face_mode;

typedef struct ef_face {
    ef_face_mode mode;
    ef_box box; /* for EF_FACE_BOX; must touch the picture                              */
} ef_face;

typedef enum ef_verdict {
    EF_VERDICT_NONE = 0, /* not scored                                                  */
    EF_VERDICT_REAL = 1,
    EF_VERDICT_UNCERTAIN = 2,
    EF_VERDICT_FAKE = 3
} ef_verdict;

/* "none", "real", "uncertain" or "fake"; never NULL. */
EF_API const char *ef_verdict_name(ef_verdict verdict);

typedef struct ef_result {
    size_t struct_size;
    ef_verdict verdict;
    float fake;  /* probability in [0,1] that the face is fake, temperature applied */
    float logit; /* its log-odds before the temperature                                 */
    ef_box box;  /* the face; the whole picture in EF_FACE_WHOLE                        */
    float face_score; /* the detector's confidence; 1 without a detector                */
} ef_result;

EF_API void ef_result_init(ef_result *result, size_t struct_size);

/* Scores one face. face = NULL: EF_FACE_WHOLE. On failure *out stays as it is. */
EF_API ef_status ef_classify_face(ef_classifier *classifier, const ef_image *img,
                                  const ef_face *face, ef_result *out, ef_error *err);

/* Scores n boxes of one picture in as few batches as the classifier's batch allows.
 * out: n results, each initialised by ef_result_init(). */
EF_API ef_status ef_classify_faces(ef_classifier *classifier, const ef_image *img,
                                   const ef_box *boxes, size_t n, ef_result *out,
                                   ef_error *err);

/* Scores n faces of one picture as ef_detect_faces() found them, or whose landmarks come
 * from elsewhere: each model crops the box or, if its file has a template, aligns by the
 * landmarks. out: n results as above; their face_score is the detection's score. */
EF_API ef_status ef_classify_detections(ef_classifier *classifier, const ef_image *img,
                                        const ef_detection *faces, size_t n,
                                        ef_result *out, ef_error *err);

/* Scores one face in n frames in a row, as networks of sequences want it (ef_model_info
 * .frames; n is a multiple of it) and others do as well. frames: pointers to n pictures,
 * sequences one behind the other; faces: [n], where the face is in each (its box, or for
 * models with a template its landmarks), or NULL: the frames are crops of it already. A
 * tracked face usually gets one box for the whole sequence. out: n results as above, one
 * for each frame. The other ways to score refuse such networks with EF_E_UNSUPPORTED. */
EF_API ef_status ef_classify_sequence(ef_classifier *classifier,
                                      const ef_image *const *frames,
                                      const ef_detection *faces, size_t n, ef_result *out,
                                      ef_error *err);

/* Bytes that the classifier holds, its sessions and scratch included. */
EF_API size_t ef_classifier_memory(const ef_classifier *classifier);

/* ---- where it looked --------------------------------------------------------------- */

/* Class activation map (Zhou et al., arXiv 1512.04150, equation 2): for each place of the
 * last feature map, the weighted sum of its channels with the weights of the output that
 * means fake; under a softmax, with its weights less the mean of the others'. Positive
 * speaks for fake, negative for real. With one sigmoid output, or two softmax outputs,
 * the mean of the values plus `bias` is the log-odds before temperature. Made with flip,
 * it is the mean of both views. It shows what this network used, not where a face was
 * altered.
 *
 * A network with attention maps (WS-DAN) is not linear in its features: there each map's
 * share of the log-odds (its part of the classifier's weighted sum) is spread over the
 * places that it attends to, in proportion to its attention. Signs and mean are as above,
 * of the first look. (The attention of EfficientNetAutoAttB4 weights features within the
 * network; its map is an ordinary one.) */
typedef struct ef_heatmap {
    const float *values; /* [height][width]                                            */
    int height, width;   /* of the last feature map, e.g. 7 x 7                        */
    float bias;
    ef_box area; /* what the map covers, in the picture's pixels; may reach outside    */
    void *owner;
    float angle; /* the area is turned by it around its centre, in radians, from the x
                    axis towards the y axis: of a face aligned by landmarks; else 0    */
} ef_heatmap;

/* Scores one face as ef_classify_face() does (out may be NULL) and keeps the map of the
 * classifier's model number `model`, counted from 0. map is yours: ef_heatmap_free(). */
EF_API ef_status ef_classify_heatmap(ef_classifier *classifier, const ef_image *img,
                                     const ef_face *face, size_t model, ef_result *out,
                                     ef_heatmap *map, ef_error *err);

/* The same of a face as ef_classify_detections() takes it. */
EF_API ef_status ef_classify_detection_heatmap(ef_classifier *classifier,
                                               const ef_image *img,
                                               const ef_detection *face, size_t model,
                                               ef_result *out, ef_heatmap *map,
                                               ef_error *err);

/* Zeroes the struct, too; harmless on a zeroed one. */
EF_API void ef_heatmap_free(ef_heatmap *map);

/* A copy of img with the map drawn over its area: red where it speaks for fake, blue for
 * real, as strong as |value| / full, at most `opacity` in [0,1]. full: the value that
 * gets the full colour, > 0, or 0 for the map's own largest magnitude. out is yours:
 * ef_image_free(). */
EF_API ef_status ef_heatmap_draw(const ef_heatmap *map, const ef_image *img,
                                 float opacity, float full, const ef_options *opt,
                                 ef_image *out, ef_error *err);

/* Writes img as an 8-bit RGB PNG to `write`, in pieces. EF_E_UNSUPPORTED in a build
 * without libpng; EF_E_CANCELLED if write stops. */
EF_API ef_status ef_image_encode_png(const ef_image *img, const ef_options *opt,
                                     ef_write_fn *write, void *user, ef_error *err);

/* ---- combining scores -------------------------------------------------------------- */

/* Many scores of one picture, video or person to one verdict: over the frames of a face,
 * over faces, over models, by the rules that the systems of the DeepFake Detection
 * Challenge used. p is a score's probability, 1 / (1 + exp(-logit)).
 *
 *     ef_rule rule; ef_combined out; ef_score scores[N];
 *     ef_rule_init(&rule, EF_RULE_CONFIDENT, sizeof rule);
 *     ef_combined_init(&out, sizeof out);
 *     ef_combine(&rule, scores, N, scores, &out, &err);
 *
 * Sources: the released inference code of selimsef/dfdc_deepfake_challenge (C1),
 * NTech-Lab/deepfake-detection-challenge (C3), Siyu-C/RobustForensics (C4),
 * polimi-ispl/icpr2020dfdc (C6), and Self-Blended Images, CVPR 2022 (C7). */

typedef struct ef_score {
    double logit;   /* log-odds of fake, e.g. of ef_result; within -1e30 to 1e30        */
    uint32_t model; /* which model gave it, 0 to 63                                     */
    uint32_t face;  /* which face, the same number in all frames that it was tracked in */
    uint32_t frame; /* which frame; orders the scores of a face. Any numbers; scores
                       that share all three count separately                            */
} ef_score;

/* From the scores of one model (of all models with EF_MODELS_POOL) to one. */
typedef enum ef_rule_kind {
    EF_RULE_MEAN_PROB = 0,  /* mean of p                                                */
    EF_RULE_MEAN_LOGIT = 1, /* mean of the logits (C6: sigmoid of the mean logit)       */
    EF_RULE_CONFIDENT = 2,  /* n scores, k of them with p > high. If k > floor(n /
                               high_divisor) and k > high_least: mean of those k; else
                               if more than low_share * n have p < low: mean of those;
                               else mean of all p (C1)                                  */
    EF_RULE_SHARPEN = 3,    /* d = p - 0.5, q = 0.5 + sign(d) |d|^gamma, cut off to
                               [margin, 1 - margin], weight |d| + weight_floor: the
                               weighted mean of q (C3)                                  */
    EF_RULE_GROUP = 4,      /* a face's logits averaged over each `run` successive
                               scores, a shorter rest dropped unless it is all; g the
                               probabilities of these means. If more than the share
                               `share` of them has g > high: mean of those; else if
                               more has g < low: mean of those; else mean of all (C4)   */
    EF_RULE_MAX_FACE = 5    /* greatest p of each frame, mean over frames (C7)          */
} ef_rule_kind;

/* Several faces of one model. EF_RULE_MAX_FACE has its own way and takes POOL only,
 * EF_RULE_GROUP looks at one face after the other and takes all but POOL. */
typedef enum ef_face_rule {
    EF_FACES_POOL = 0, /* the kind sees the scores of all faces at once                 */
    EF_FACES_MEAN = 1, /* the kind for each face, then the mean of probabilities, or of
                          logits with EF_RULE_MEAN_LOGIT                                */
    EF_FACES_MAX = 2,  /* then the greatest                                             */
    EF_FACES_AGREE = 3 /* then the greatest if that is > face_sure or all are >
                          face_high, the least if all are < face_low, else the mean of
                          probabilities (C4)                                            */
} ef_face_rule;

/* Several models. Weights of models without a score drop out. */
typedef enum ef_model_rule {
    EF_MODELS_MEAN_PROB = 0,  /* weighted mean of probabilities                         */
    EF_MODELS_MEAN_LOGIT = 1, /* weighted mean of logits                                */
    EF_MODELS_AGREE = 2,      /* if more than the share model_share of the models is >
                                 model_high: weighted mean of those; else if more is <
                                 model_low: of those; else of all (C4)                  */
    EF_MODELS_POOL = 3        /* the kind sees the scores of all models at once; no
                                 weights, no shrinking, not with GROUP and MAX_FACE     */
} ef_model_rule;

/* ef_rule_init() gives a kind's own faces, models and thresholds, those of its source. */
typedef struct ef_rule {
    size_t struct_size;
    ef_rule_kind kind;
    ef_face_rule faces;   /* POOL; GROUP: AGREE                                         */
    ef_model_rule models; /* MEAN_PROB; MEAN_LOGIT: MEAN_LOGIT; SHARPEN: POOL; GROUP:
                             AGREE                                                      */
    double high, low;     /* 0.8, 0.2; GROUP: 0.85, 0.15; in [0,1]                      */
    double high_divisor;  /* CONFIDENT: 2.5; > 0                                        */
    double high_least;    /* CONFIDENT: 11; >= 0                                        */
    double low_share;     /* CONFIDENT: 0.9; in [0,1]                                   */
    double gamma;         /* SHARPEN: 0.65; > 0                                         */
    double margin;        /* SHARPEN: 0.01; in [0,0.5)                                  */
    double weight_floor;  /* SHARPEN: 1e-4; > 0                                         */
    uint32_t run;         /* GROUP: 5; > 0                                              */
    double share;         /* GROUP: 0.7; in [0,1]                                       */
    double face_sure, face_high, face_low;     /* AGREE: 0.9, 0.6, 0.4; in [0,1]        */
    double model_high, model_low, model_share; /* AGREE: 0.8, 0.2, 0.7; in [0,1]        */
    double shrink_from, shrink_by; /* 0.98, 0.96: a model marked in `shrinks` with p >=
                                      shrink_from or p <= 1 - shrink_from gets
                                      (p - 0.5) * shrink_by + 0.5 (C4); in [0.5,1] and
                                      [0,1]                                             */
    size_t model_count; /* 0: any models, all weights 1; else at most 64, and scores have
                           model < model_count                                          */
    const double *weights;      /* [model_count] > 0, or NULL: all 1                    */
    const double *temperatures; /* [model_count], each 1e-6 to 1e6: a model's logits are
                                   divided by it first; NULL: 1                         */
    const uint8_t *shrinks;     /* [model_count] of 0 and 1, or NULL: none              */
    double temperature;         /* 1: the combined log-odds are divided by it; 1e-6 to
                                   1e6                                                  */
    double clip; /* 0: then the probability is kept within [clip, 1 - clip]; in [0,0.5).
                    0.01 costs at most ln 100 = 4.605 a wrong answer in log loss (C6)   */
    double real_below, fake_from; /* 0.5, 0.5: verdict, as in ef_model_info             */
} ef_rule;

/* Writes the defaults of kind into the first struct_size bytes. */
EF_API void ef_rule_init(ef_rule *rule, ef_rule_kind kind, size_t struct_size);

#define EF_COMBINED_EMPTY 0x1u   /* there was no score: 0.5 and EF_VERDICT_NONE         */
#define EF_COMBINED_PARTIAL 0x2u /* some of the rule's model_count models have no score */
#define EF_COMBINED_SHORT 0x4u   /* GROUP: some face has fewer scores than one run      */
#define EF_COMBINED_CLIPPED 0x8u /* clip changed the probability                        */

typedef struct ef_combined {
    size_t struct_size;
    ef_verdict verdict;
    uint32_t flags; /* EF_COMBINED_                                                     */
    double fake;    /* probability in [0,1]                                             */
    double logit;   /* its log-odds; within +-36.74 where it comes from a mean of
                       probabilities, so that it is finite                              */
    size_t scores;  /* how many there were, and of how many different                   */
    size_t models, faces, frames;
} ef_combined;

EF_API void ef_combined_init(ef_combined *out, size_t struct_size);

/* Combines n scores in any order (the result does not depend on it, to the last bit).
 * rule NULL: EF_RULE_MEAN_PROB. work: room for n scores, which may be `scores` itself if
 * that may be reordered. Results may be combined again: put out.logit into new scores,
 * e.g. groups of models. Allocates nothing; takes n log n time. n = 0 is no failure: a
 * picture without a face has no verdict, EF_COMBINED_EMPTY and 0.5, the guess that costs
 * least (log loss 0.6931). EF_E_NUMERIC: a logit is not finite or out of range; EF_E_ARG:
 * the rule is not one, or a score's model is not the rule's. */
EF_API ef_status ef_combine(const ef_rule *rule, const ef_score *scores, size_t n,
                            ef_score *work, ef_combined *out, ef_error *err);

/* ---- pipelines --------------------------------------------------------------------- */

/* A pipeline says in a small text file how a verdict is made: which detector, which
 * frames, how faces are cropped, which models, which rule (lib/pipeline/README.md has the
 * grammar, examples/pipelines/ the EfficientNet parts of published systems). The library
 * reads and checks it; a program builds what it says. Immutable once parsed; any number
 * of threads may use one. Texts belong to it. */
typedef struct ef_pipeline ef_pipeline;

/* Reads a pipeline of at most 64 KiB. EF_E_FORMAT, EF_E_VERSION or EF_E_LIMIT with the
 * line's number; EF_E_IO, EF_E_NOMEM. Of opt the allocator counts. */
EF_API ef_status ef_pipeline_parse_file(const char *path, const ef_options *opt,
                                        ef_pipeline **out, ef_error *err);

/* The same from size bytes of memory, borrowed for the call. name: what errors call it,
 * or NULL. Its models have no folder: ef_pipeline_load_model() wants paths. */
EF_API ef_status ef_pipeline_parse_memory(const void *data, size_t size, const char *name,
                                          const ef_options *opt, ef_pipeline **out,
                                          ef_error *err);
EF_API void ef_pipeline_free(ef_pipeline *pipeline);

typedef enum ef_pipeline_detector {
    EF_PIPELINE_GIVEN = 0, /* boxes (or landmarks) come from elsewhere                  */
    EF_PIPELINE_WHOLE = 1, /* pictures are faces already                                */
    EF_PIPELINE_MTCNN = 2
} ef_pipeline_detector;

typedef enum ef_pipeline_frames {
    EF_FRAMES_ALL = 0,
    EF_FRAMES_SPREAD = 1,   /* trunc(i * (N - 1) / (count - 1)), each once              */
    EF_FRAMES_STEP = 2,     /* first, first + every, first + 2 every, ...               */
    EF_FRAMES_INTERVAL = 3, /* every max(1, ceil(N / count))-th from 0                  */
    EF_FRAMES_RATE = 4      /* every max(1, round(floor(fps) / rate))-th from 0         */
} ef_pipeline_frames;

typedef struct ef_pipeline_info {
    size_t struct_size;
    const char *name, *source; /* for people                                            */
    const char *lacks;         /* what the published system has and this one has not    */
    size_t model_count;        /* 1 to 64                                               */
    ef_pipeline_detector detector;
    double scale;         /* the picture is scaled by this before detection; (0,1]      */
    double thresholds[3]; /* of the three stages of MTCNN; [0,1]                        */
    double min_face;      /* side in pixels, of the scaled picture                      */
    double factor;        /* of the detector's pyramid; in (0,1)                        */
    double score;         /* least confidence of a face; [0,1]                          */
    double least_area;    /* faces smaller than this share of the largest do not count  */
    uint32_t max_faces;   /* of a picture, the largest ones; 0: all                     */
    ef_pipeline_frames frames;
    uint32_t count, every, first; /* see ef_pipeline_frames                             */
    double rate;
    uint32_t per_face;   /* of a face's T frames every ceil(T / per_face)-th; 0: all    */
    uint32_t max_scores; /* crops of a video that are scored at most; 0: no limit       */
    uint32_t detect_every; /* see ef_video_options; 0: it says nothing                  */
    uint32_t least_found;  /* the same                                                  */
} ef_pipeline_info;

EF_API void ef_pipeline_info_init(ef_pipeline_info *info, size_t struct_size);
EF_API ef_status ef_pipeline_get_info(const ef_pipeline *pipeline, ef_pipeline_info *info,
                                      ef_error *err);

/* Which faces of a track a model scores in a video, by their place in it: of each
 * `period` successive ones those whose bit is set in `take`, shown mirrored where it is
 * set in `mirror`, too. For a network of sequences they are the faces with which a
 * sequence begins; places are then counted anew after each gap in the track. */
typedef struct ef_turns {
    uint32_t period; /* 1 to 64; 0: the model's own: every face; of a network of sequences
                        one sequence in each 2 * frames                                 */
    uint64_t take;   /* bit i: those at places i, i + period, i + 2 * period, ...       */
    uint64_t mirror; /* some of take                                                    */
} ef_turns;

typedef struct ef_pipeline_model {
    size_t struct_size;
    const char *name;   /* the section's, or ""                                         */
    const char *file;   /* relative to the pipeline's folder and inside it              */
    const char *crop;   /* name of the crop, or NULL: the model file's own              */
    double weight;      /* 1                                                            */
    double temperature; /* 1                                                            */
    int shrink;         /* 0                                                            */
    int flip;           /* 0 or 1; -1: as the model file (or the crop) says             */
    ef_turns turns;     /* period 0: it says nothing                                    */
} ef_pipeline_model;

EF_API void ef_pipeline_model_init(ef_pipeline_model *model, size_t struct_size);
EF_API ef_status ef_pipeline_get_model(const ef_pipeline *pipeline, size_t index,
                                       ef_pipeline_model *out, ef_error *err);

/* The rule for ef_combine(), with the models' weights, temperatures and shrinks where any
 * model states one; NULL for NULL. Scores then have the models' indices. */
EF_API const ef_rule *ef_pipeline_rule(const ef_pipeline *pipeline);

/* Loads model number index, with the pipeline's crop and flip in the place of its own
 * (its metadata texts stay). path: its file, or NULL: the pipeline's folder and the
 * file's name. Errors as of ef_model_load_file(), and EF_E_ARG. */
EF_API ef_status ef_pipeline_load_model(const ef_pipeline *pipeline, size_t index,
                                        const char *path, const ef_options *opt,
                                        ef_model **out, ef_error *err);

/* Writes what the pipeline does, and what it lacks, in lines for people. */
EF_API ef_status ef_pipeline_describe(const ef_pipeline *pipeline, ef_write_fn *write,
                                      void *user, ef_error *err);

/* ---- videos ------------------------------------------------------------------------ */

/* Frames to a verdict for each person and for the video. The library decodes no video:
 * the caller gives it frames (examples/video/ has a decoder).
 *
 *     ef_video_options what; ef_video *v; ef_video_result r;
 *     ef_video_options_init(&what, sizeof what);
 *     what.models = models; what.model_count = 1; what.detector = detector_model;
 *     ef_video_result_init(&r, sizeof r);
 *     ef_video_create(&what, &opt, &v, &err);
 *     for each frame: ef_video_add(v, &frame, seconds, &err);
 *     ef_video_finish(v, &r, &err);          r.fake; r.tracks[i].fake
 *     ef_video_free(v);
 *
 * Faces are found in frames, linked over frames to tracks (a track is a person), and
 * scored; the rule combines the scores of each track, and of all of them.
 *
 * A network of sequences (ef_model_info.frames > 1) scores so many successive faces of a
 * track together, whose frames follow each other and have one size: all are cropped by
 * the box (or landmarks) of the middle one, number frames / 2. It gives each of them a
 * score, as ef_classify_sequence() does. A track that is nowhere so long gets no score of
 * it: ef_video_track.lacking.
 *
 * One thread at a time calls it. With opt->threads > 1 it has so many threads of its own,
 * which find and score while the caller decodes; ef_video_add() waits only when all of
 * them are behind. They call opt's allocator and cancel, one at a time; log is not
 * called. Results do not depend on the number of threads. After fork() use and free it in
 * the process that made it. Memory: a few frames (3 bytes a pixel; of networks
 * of sequences, one sequence more), and about 250 bytes for each face that is scored, at
 * most max_scores of them. */
typedef struct ef_video ef_video;

typedef struct ef_video_options {
    size_t struct_size;
    const ef_model *const *models; /* each with a fake output; kept                     */
    size_t model_count;            /* 1 to 64                                           */
    const ef_model *detector;      /* kept; NULL: each frame is one face                */
    double min_face, thresholds[3], factor, scale; /* see ef_detector_options           */
    double score;      /* faces that the detector is less sure of do not count; 0       */
    double least_area; /* nor those smaller than this share of the frame's largest; 0   */
    int max_faces;     /* of a frame, the largest ones; 16; 1 to 256                    */
    int detect_every;  /* faces are looked for in the first, in every n-th and in the
                          last frame, and interpolated between; 1; 1 to 16              */
    double min_overlap; /* boxes with so much intersection over union are of one face;
                           0.3; in (0,1). Smaller ones are, too, if the landmarks moved
                           by less than half a face. From where it was last, or rather
                           from where it would be had it moved on as before             */
    int fill; /* a face that is missed in up to so many looks in a row is interpolated
                 and scored there, too; 4; 0 to 16; (fill + 1) * detect_every <= 32     */
    int lost; /* one missed in more looks in a row is another person; 16; 0 to 65535    */
    uint32_t least_found; /* a track found in fewer frames does not count, unless there
                             were no other; 1                                           */
    uint32_t per_face;    /* of a track's T scores every ceil(T / per_face)-th; 0: all  */
    uint32_t max_scores;  /* faces scored at most; 65536; 1 to 1048576                  */
    const ef_rule *rule;  /* copied, what it points at, too. NULL: EF_RULE_MEAN_PROB
                             with the first model's thresholds                          */
    const ef_turns *turns; /* [model_count], copied; NULL: all of them 0                */
} ef_video_options;

EF_API void ef_video_options_init(ef_video_options *what, size_t struct_size);

/* Sets all that the pipeline says of detector, faces, turns and rule; models, detector
 * and which frames to add remain the caller's part. Turns and rule are the pipeline's. */
EF_API ef_status ef_video_options_plan(ef_video_options *what,
                                       const ef_pipeline *pipeline, ef_error *err);

/* opt->batch is the number of faces that a thread scores in one go. EF_E_ARG, EF_E_NOMEM,
 * EF_E_THREAD, EF_E_UNSUPPORTED. */
EF_API ef_status ef_video_create(const ef_video_options *what, const ef_options *opt,
                                 ef_video **out, ef_error *err);
EF_API void ef_video_free(ef_video *video);

/* Forgets all frames: a new video begins. ef_video_add() does the same after
 * ef_video_finish(). */
EF_API ef_status ef_video_begin(ef_video *video, ef_error *err);

/* Gives it the next frame, which is copied. seconds: its time; finite, and not before the
 * frame before it. The first failure of the work on any frame is returned by the calls
 * that follow, until ef_video_begin(). EF_E_ARG (the frame was not taken, nothing else
 * happened), EF_E_NOMEM, EF_E_LIMIT (more than limits.max_pixels), EF_E_CANCELLED,
 * EF_E_NUMERIC. */
EF_API ef_status ef_video_add(ef_video *video, const ef_image *frame, double seconds,
                              ef_error *err);

/* A face in a frame. */
typedef struct ef_video_face {
    uint32_t frame;    /* number of the frame in the order of adding, from 0            */
    int interpolated;  /* 1: not found there, but before and behind                     */
    double seconds;    /* of the frame                                                  */
    ef_detection face; /* score 0 where it is interpolated                              */
    double fake, logit; /* of all models that scored it, by the rule                    */
    ef_verdict verdict; /* EF_VERDICT_NONE: no model had its turn                       */
    int counts;         /* 0: no score, or per_face left it out of the track's verdict  */
} ef_video_face;

/* A person. */
typedef struct ef_video_track {
    const ef_video_face *faces; /* [nfaces], by frame                                   */
    size_t nfaces;
    size_t found; /* not interpolated                                                   */
    size_t best;  /* index of the face with the highest probability of fake             */
    double fake, logit;
    ef_verdict verdict; /* EF_VERDICT_NONE: no model gave a score                       */
    uint32_t flags;     /* EF_COMBINED_                                                 */
    uint64_t lacking;   /* bit i: model number i gave no score: the track was too short
                           for its sequence or its turn                                 */
} ef_video_track;

#define EF_VIDEO_FULL 0x1u /* there were more faces than max_scores: some have no score */

typedef struct ef_video_result {
    size_t struct_size;
    ef_verdict verdict; /* EF_VERDICT_NONE: there was no face                           */
    uint32_t flags;     /* EF_VIDEO_                                                    */
    double fake, logit; /* of all tracks, by the rule                                   */
    size_t frames;      /* that were added                                              */
    double first, last; /* their times in seconds; 0, 0 without any                     */
    const ef_video_track *tracks; /* [ntracks], by first frame                          */
    size_t ntracks;
    size_t dropped; /* tracks that least_found left out                                 */
    double detect_seconds, score_seconds; /* processor time spent on faces, on scores   */
    uint64_t lacking; /* bit i: model number i gave no score of any track               */
} ef_video_result;

EF_API void ef_video_result_init(ef_video_result *result, size_t struct_size);

/* Waits for the work on all frames and combines. What *out points at belongs to the video
 * until the next call with it. No frame, or no face, is no failure. Errors as of
 * ef_video_add(). */
EF_API ef_status ef_video_finish(ef_video *video, ef_video_result *out, ef_error *err);

/* Bytes that it holds, its share of the models not counted. Call it before the first
 * frame or after ef_video_finish(): else 0. */
EF_API size_t ef_video_memory(const ef_video *video);

#ifdef __cplusplus
}
#endif
#endif /* DFNET_DFNET_H */
