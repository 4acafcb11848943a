/* names.c - the rows of every list as data, so that the storeys above hold no second list. */
#include "cnet.h"

#define CNET_ROW(name, saves, alpha, has_alpha) {#name, #saves, alpha, has_alpha},
const cnet_row cnet_activation_rows[] = {CNET_ACTIVATIONS(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name) {#name, "", 0, 0},
const cnet_row cnet_layer_rows[] = {CNET_LAYERS(CNET_ROW){0}};
const cnet_row cnet_math_rows[] = {CNET_MATH(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name, shape, target) {#name, #target, 0, 0},
const cnet_row cnet_loss_rows[] = {CNET_LOSSES(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name, target) {#name, #target, 0, 0},
const cnet_row cnet_metric_rows[] = {CNET_METRICS(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name, object) {#name, #object, 0, 0},
const cnet_row cnet_augmentation_rows[] = {CNET_AUGMENTATIONS(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name, states) {#name, "", 0, states},
const cnet_row cnet_optimizer_rows[] = {CNET_OPTIMIZERS(CNET_ROW){0}};
#undef CNET_ROW

#define CNET_ROW(name, type, load) {#name, #type, 0, 0},
const cnet_row cnet_source_rows[] = {CNET_SOURCES(CNET_ROW){0}};
#undef CNET_ROW
