// Random networks of the layers that detectors are made of, for tests of back ends.
#ifndef TESTS_ACCEL_RANDOM_NETWORK_H
#define TESTS_ACCEL_RANDOM_NETWORK_H

#include "tests/accel/network.h"

void random_network(struct network *net, uint64_t seed, uint32_t dtype);
// The same of one picture with many rows, and with more layers.
void random_tall_network(struct network *net, uint64_t seed, uint32_t dtype);

#endif
