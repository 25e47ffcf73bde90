// Pictures that wait for the broker.
#include "mqtt/pictures.h"

#include "mqtt/courier.h"

#include <string.h>
#include <sys/eventfd.h>

#define SECOND      1000000000ll
#define CROP_S      600u
#define FRAME_S     5u
#define CONTENT     "image/jpeg"
#define PICTURE_MAX 100000u

void pictures_init(struct sl_publisher *p)
{
    p->pictures.cameras = g_new0(struct pictures_camera, p->n_cameras);
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct pictures_camera *c = &p->pictures.cameras[i];
        const char *root = p->broker.root, *name = p->cameras[i].name;
        c->crop = g_strdup_printf("%s/%s/crop/", root, name);
        c->last = g_strdup_printf("%s/%s/crop/last", root, name);
        c->frame = g_strdup_printf("%s/%s/frame", root, name);
    }
}

static void clear(struct picture *picture)
{
    g_clear_pointer(&picture->jpeg, g_bytes_unref);
}

void pictures_clear(struct sl_publisher *p)
{
    for (unsigned i = 0; i < PICTURES_WAITING; i++) {
        clear(&p->pictures.waiting[i]);
    }
    for (size_t i = 0; p->pictures.cameras && i < p->n_cameras; i++) {
        struct pictures_camera *c = &p->pictures.cameras[i];
        clear(&c->newest);
        clear(&c->preview);
        g_free(c->crop);
        g_free(c->last);
        g_free(c->frame);
    }
    g_free(p->pictures.cameras);
}

void pictures_connected(struct sl_publisher *p)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct pictures_camera *c = &p->pictures.cameras[i];
        c->newest_due = c->newest.jpeg != NULL;
        clear(&c->preview);
    }
}

static void replace(struct picture *place, const struct picture *with)
{
    clear(place);
    *place = *with;
    g_bytes_ref(place->jpeg);
}

// With the lock held.
static void queue(struct pictures *all, const struct picture *picture)
{
    if (all->n == PICTURES_WAITING) {
        clear(&all->waiting[all->first]);
        all->first = (all->first + 1) % PICTURES_WAITING;
        all->n--;
        all->dropped++;
    }
    replace(&all->waiting[(all->first + all->n++) % PICTURES_WAITING], picture);
}

static int camera_index(const struct sl_publisher *p, const char *name)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (strcmp(p->cameras[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void sl_publisher_picture(struct sl_publisher *p, const struct sl_published_picture *from)
{
    const int camera = camera_index(p, from->camera);
    if (camera < 0 || from->size == 0 || from->size > PICTURE_MAX) {
        return;
    }
    struct picture picture = {
        .camera = (size_t)camera,
        .jpeg = g_bytes_new(from->jpeg, from->size),
        .made_ns = connection_now_ns(),
    };
    g_strlcpy(picture.part_id, from->part_id ? from->part_id : "", sizeof(picture.part_id));
    g_strlcpy(picture.crop, from->crop ? from->crop : "", sizeof(picture.crop));
    struct pictures_camera *c = &p->pictures.cameras[camera];
    pthread_mutex_lock(&p->lock);
    if (picture.crop[0]) {
        queue(&p->pictures, &picture);
        replace(&c->newest, &picture);
        c->newest_due = true;
    } else {
        replace(&c->preview, &picture);
    }
    pthread_mutex_unlock(&p->lock);
    g_bytes_unref(picture.jpeg);
    eventfd_write(p->wake_fd, 1); // full only if a wake-up is due anyway
}

// 0: sent, or too old.
static int publish(struct sl_publisher *p, const struct picture *picture, const char *topic,
                   uint32_t expiry_s, bool retain, int qos)
{
    const int64_t age_s = (connection_now_ns() - picture->made_ns) / SECOND;
    if (age_s >= expiry_s) {
        return 0;
    }
    const struct connection_message message = {
        .topic = topic,
        .payload = g_bytes_get_data(picture->jpeg, NULL),
        .size = g_bytes_get_size(picture->jpeg),
        .qos = qos,
        .retain = retain,
        .expiry_s = expiry_s - (uint32_t)age_s,
        .content_type = CONTENT,
        .part_id = picture->part_id[0] ? picture->part_id : NULL,
        .crop_id = picture->crop[0] ? picture->crop : NULL,
    };
    return connection_publish(&p->connection, &message);
}

static bool send_waiting(struct sl_publisher *p)
{
    struct pictures *all = &p->pictures;
    struct picture picture = {0};
    pthread_mutex_lock(&p->lock);
    if (all->n > 0) {
        picture = all->waiting[all->first];
        all->waiting[all->first].jpeg = NULL;
        all->first = (all->first + 1) % PICTURES_WAITING;
        all->n--;
    }
    pthread_mutex_unlock(&p->lock);
    if (!picture.jpeg) {
        return false;
    }
    char topic[COURIER_TOPIC];
    g_snprintf(topic, sizeof(topic), "%s%s", all->cameras[picture.camera].crop, picture.crop);
    const int status = publish(p, &picture, topic, CROP_S, false, 1);
    clear(&picture);
    pthread_mutex_lock(&p->lock);
    all->sent += status == 0;
    all->dropped += status != 0; // larger than the broker takes, or the connection is gone
    pthread_mutex_unlock(&p->lock);
    return status == 0;
}

static void send_newest(struct sl_publisher *p, struct pictures_camera *c)
{
    struct picture picture = {0};
    pthread_mutex_lock(&p->lock);
    if (c->newest_due) {
        replace(&picture, &c->newest);
        c->newest_due = false;
    }
    pthread_mutex_unlock(&p->lock);
    if (picture.jpeg) {
        publish(p, &picture, c->last, CROP_S, true, 0); // the next connection repeats it
    }
    clear(&picture);
}

static void send_preview(struct sl_publisher *p, struct pictures_camera *c)
{
    pthread_mutex_lock(&p->lock);
    struct picture picture = c->preview;
    c->preview.jpeg = NULL;
    pthread_mutex_unlock(&p->lock);
    if (picture.jpeg) {
        publish(p, &picture, c->frame, FRAME_S, false, 0);
    }
    clear(&picture);
}

void pictures_send(struct sl_publisher *p)
{
    while (connection_has_room(&p->connection) && connection_is_idle(&p->connection) &&
           send_waiting(p)) {
    }
    for (size_t i = 0; i < p->n_cameras && connection_is_idle(&p->connection); i++) {
        send_newest(p, &p->pictures.cameras[i]);
        send_preview(p, &p->pictures.cameras[i]);
    }
}
