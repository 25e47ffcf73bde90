// `sightline-model`, which `sightline model` becomes.
#include "inference/commands.h"

int main(int argc, char **argv)
{
    return sl_command_model(argc, argv);
}
