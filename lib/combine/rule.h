/* rule.h - ef_rule: its defaults and what it must fulfil. Called by combine.c and by
 * lib/pipeline; includes lib/base only. */
#ifndef DFN_COMBINE_RULE_H
#define DFN_COMBINE_RULE_H

#include "dfnet/dfnet.h"

#include <stdbool.h>

/* As many as an ef_classifier may have. */
#define DFN_RULE_MODELS 64
#define DFN_RULE_KINDS 6
#define DFN_LEAST_TEMPERATURE 1e-6
#define DFN_MOST_TEMPERATURE 1e6

/* EF_E_ARG unless rule is complete and every number is in its range. */
ef_status dfn_rule_check(const ef_rule *rule, ef_error *err);

#endif
