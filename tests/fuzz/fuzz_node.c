// Fuzz target: what comes to the Sparkplug node from the broker: the primary host's STATE, commands
// for the node and for a camera.
//
// Input: messages that end with an empty line, each with a first byte that says on which topic.
#include "mqtt/sparkplug/node.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static unsigned triggered;

static int on_trigger(void *ctx, const char *camera, const cJSON *arguments, cJSON **data,
                      char *message, size_t message_size)
{
    (void)ctx;
    (void)arguments;
    (void)data;
    (void)message;
    (void)message_size;
    if (strcmp(camera, "cam1"))
        abort();
    triggered++;
    return 0;
}

static const struct sl_command commands[] = {{"trigger", "judge", NULL, on_trigger, true}};

static void tell(struct sl_sparkplug *n, const uint8_t *bytes, size_t size)
{
    static char topics[][32] = {"spBv1.0/STATE/scada", "spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/cam1",
                                "spBv1.0/g/DCMD/n/cam2"};
    const uint64_t before_ms = n->host_ms;
    const bool rebirth = n->rebirth;
    triggered = 0;
    n->born = bytes[0] & 4;
    const struct mosquitto_message message = {.topic = topics[bytes[0] % 4],
                                              .payload = (void *)(uintptr_t)(bytes + 1),
                                              .payloadlen = (int)size - 1,
                                              .retain = bytes[0] & 8};
    node_events.message(n, &message, NULL);
    const bool obeyed = n->rebirth != rebirth || n->cameras[0].rebirth || triggered;
    if (n->host_ms < before_ms || (obeyed && (message.retain || !n->born)) ||
        (n->host_left && n->host_online) || triggered > SPARKPLUG_READ)
        abort();
    n->cameras[0].rebirth = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char state[] = "spBv1.0/STATE/scada", node[] = "spBv1.0/g/NCMD/n";
    static char camera[] = "spBv1.0/g/DCMD/n/cam1";
    static struct sl_sparkplug n;
    n = (struct sl_sparkplug){.state_topic = state,
                              .command_topic = node,
                              .commands = commands,
                              .n_commands = 1,
                              .n_cameras = 1,
                              .cameras = {{.name = "cam1", .command = camera}}};
    pthread_mutex_init(&n.lock, NULL);
    while (size > 0) {
        const uint8_t *end = memmem(bytes, size, "\n\n", 2);
        const size_t length = end ? (size_t)(end - bytes) : size;
        if (length > 0)
            tell(&n, bytes, length);
        const size_t used = end ? length + 2 : length;
        bytes += used;
        size -= used;
    }
    pthread_mutex_destroy(&n.lock);
    return 0;
}
