// What goes out on a connection: messages, subscriptions.
#include "mqtt/connection_inside.h"

#include <errno.h>
#include <mqtt_protocol.h>

static int add_user(mosquitto_property **properties, const char *name, const char *value)
{
    return value ? mosquitto_property_add_string_pair(properties, MQTT_PROP_USER_PROPERTY, name,
                                                      value)
                 : MOSQ_ERR_SUCCESS;
}

static int add_properties(const struct connection_message *m, mosquitto_property **properties)
{
    int status = MOSQ_ERR_SUCCESS;
    if (m->expiry_s) {
        status = mosquitto_property_add_int32(properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL,
                                              m->expiry_s);
    }
    if (!status && m->content_type) {
        status = mosquitto_property_add_string(properties, MQTT_PROP_CONTENT_TYPE, m->content_type);
    }
    if (!status && m->correlation) {
        status = mosquitto_property_add_binary(properties, MQTT_PROP_CORRELATION_DATA,
                                               m->correlation, m->correlation_size);
    }
    status = status ? status : add_user(properties, "history", m->history ? "true" : NULL);
    status = status ? status : add_user(properties, "part_id", m->part_id);
    status = status ? status : add_user(properties, "crop_id", m->crop_id);
    return status;
}

static int publish(struct connection *c, const struct connection_message *m, int *mid)
{
    mosquitto_property *properties = NULL;
    int status = c->v311 ? 0 : add_properties(m, &properties);
    if (!status) {
        status = mosquitto_publish_v5(c->mosq, mid, m->topic, (int)m->size, m->payload, m->qos,
                                      m->retain, properties);
    }
    mosquitto_property_free_all(&properties);
    return status;
}

int connection_publish(struct connection *c, const struct connection_message *m)
{
    if (!connection_has_room(c)) {
        return -EAGAIN;
    }
    int mid = 0;
    int status = publish(c, m, &mid);
    if (status == MOSQ_ERR_OVERSIZE_PACKET || status == MOSQ_ERR_PAYLOAD_SIZE) {
        return -EMSGSIZE;
    }
    if (status) {
        connection_lose_status(c, m->topic, status);
        return -EAGAIN;
    }
    if (m->qos) {
        c->pending[c->n_pending].mid = mid;
        c->pending[c->n_pending].token = m->token;
        c->pending[c->n_pending].item = m->item;
        c->pending[c->n_pending].sent_ns = connection_now_ns();
        c->n_pending++;
    }
    return 0;
}

static void subscribe(struct connection *c, const char *filter, int qos, int options)
{
    int status = mosquitto_subscribe_v5(c->mosq, NULL, filter, qos, c->v311 ? 0 : options, NULL);
    if (status) {
        connection_lose_status(c, filter, status);
    }
}

void connection_subscribe(struct connection *c, const char *filter)
{
    subscribe(c, filter, 1, MQTT_SUB_OPT_SEND_RETAIN_NEVER | MQTT_SUB_OPT_RETAIN_AS_PUBLISHED);
}

void connection_subscribe_retained(struct connection *c, const char *filter, int qos)
{
    subscribe(c, filter, qos, MQTT_SUB_OPT_SEND_RETAIN_ALWAYS | MQTT_SUB_OPT_RETAIN_AS_PUBLISHED);
}

void connection_unsubscribe(struct connection *c, const char *filter)
{
    int status = mosquitto_unsubscribe(c->mosq, NULL, filter);
    if (status) {
        connection_lose_status(c, filter, status);
    }
}
