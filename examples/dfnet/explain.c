/* explain.c - dfnet explain: the steps that a network is run in, with times on request.
 */
#include "examples/dfnet/commands.h"
#include "examples/dfnet/network.h"

/* The first runs warm caches and wake threads; the times are those of the last. */
#define RUNS 5

int run_explain(const struct options *o)
{
    struct network n;
    int code = network_open(&n, o);
    if (!code && o->times) {
        ef_session_profile(n.session, 1, NULL);
        for (int i = 0; i < RUNS && !code; i++)
            if (network_run(&n))
                code = network_failed(&n);
    }
    if (!code && ef_session_explain(n.session, network_print, NULL, &n.err))
        code = EX_ALL_FAILED;
    network_close(&n);
    return code;
}
