// What a connection says in CONNECT, and how it is secured.
#include "mqtt/connection_inside.h"

#include <mqtt_protocol.h>

// The broker waits before it says offline: a connection that comes back at once was no outage.
// The session must outlive that wait.
static int set_will(struct connection *c)
{
    const struct connection_will *w = &c->will;
    mosquitto_property *properties = NULL;
    int status = 0;
    if (w->delay_s && !c->v311) {
        status =
            mosquitto_property_add_int32(&properties, MQTT_PROP_WILL_DELAY_INTERVAL, w->delay_s);
    }
    if (!status) { // takes the properties over
        status = mosquitto_will_set_v5(c->mosq, w->topic, (int)w->size, w->payload, 1, w->retain,
                                       properties);
    }
    if (status) {
        mosquitto_property_free_all(&properties);
    }
    return status;
}

// The library's asynchronous connect takes no properties, but uses those that an earlier call left:
// this one leaves them and goes no further, for want of a port.
static int set_session(struct connection *c)
{
    mosquitto_property *properties = NULL;
    if (c->v311 || !c->session_s) {
        return 0;
    }
    int status =
        mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, c->session_s);
    if (!status) {
        int refused = mosquitto_connect_bind_v5(c->mosq, c->broker->host, -1,
                                                (int)c->broker->keepalive_s, NULL, properties);
        status = refused == MOSQ_ERR_INVAL ? 0 : MOSQ_ERR_UNKNOWN;
    }
    mosquitto_property_free_all(&properties);
    return status;
}

int connection_configure(struct connection *c)
{
    const struct sl_config_broker *b = c->broker;
    struct mosquitto *m = c->mosq;
    int status = mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION,
                                      c->v311 ? MQTT_PROTOCOL_V311 : MQTT_PROTOCOL_V5);
    status = status ? status : mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
    if (!status && b->username) {
        status = mosquitto_username_pw_set(m, b->username, c->password);
    }
    if (!status && b->ca_file) {
        status = mosquitto_tls_set(m, b->ca_file, NULL, b->certificate_file, b->key_file, NULL);
        status = status ? status : mosquitto_tls_opts_set(m, 1, "tlsv1.2", NULL);
    }
    if (!status && b->psk_identity) {
        status = mosquitto_tls_psk_set(m, c->psk, b->psk_identity, NULL);
        status = status ? status : mosquitto_tls_opts_set(m, 1, "tlsv1.2", NULL);
    }
    if (!status && c->will.topic) {
        status = set_will(c);
    }
    return status ? status : set_session(c);
}
