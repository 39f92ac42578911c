/* load: one thread that drives a WAMP router and counts every message.
 *
 * One epoll loop holds all clients of a case: publishers, subscribers, callers, callees. Every payload begins with a
 * sequence number and its check; receivers verify order, loss, duplicates and damage. The program reads the CPU time
 * of the router from /proc at the start and the end of the measured window, so nothing has to be synchronised with
 * it. It connects to loopback addresses only, and ends by itself: each phase has a time limit.
 *
 *   load --mode pubsub --transport ws/json --to 127.0.0.1:8080 --pid 4711 --receivers 100 --window 4
 *
 * Output: one line of JSON. Exit status: 0 measured without faults, 1 a fault, 2 wrong arguments.
 * Messages: https://wamp-proto.org/wamp_latest_ietf.html, framing: RFC 6455 and WAMP "RawSocket Transport".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = 1, WELCOME = 2, ABORT = 3, GOODBYE = 6, ERROR = 8, PUBLISH = 16, SUBSCRIBE = 32, SUBSCRIBED = 33,
       EVENT = 36, CALL = 48, RESULT = 50, REGISTER = 64, REGISTERED = 65, INVOCATION = 68, YIELD = 70 };
enum { PAYLOAD_MIN = 16, PAYLOAD_MAX = 1 << 20, WINDOW_MAX = 4096, CLIENTS_MAX = 12000, PIDS_MAX = 8 };
enum { SETUP_LIMIT_S = 60, SETTLE_MS = 500, UNSENT_MAX = 1 << 20 };

typedef enum { PUBSUB, RPC, SUBSCRIBING, JOIN } Mode;
typedef enum { PUBLISHER, SUBSCRIBER, CALLER, CALLEE, ASKER, IDLER } Role;
typedef enum { UNCONNECTED, CONNECTING, NEGOTIATING, JOINING, ATTACHING, READY } State;

typedef struct { uint8_t *data; size_t start, end, size; } Buffer;

typedef struct {
    int fd;
    Role role;
    State state;
    Buffer in, out;
    bool queued;            /* stands in the list of clients to flush */
    bool wants_write;       /* registered for EPOLLOUT */
    uint64_t request;       /* last request id used */
    uint64_t attached;      /* id of the subscription or registration */
    uint32_t expected;      /* next sequence number */
    uint64_t gaps;          /* bit i: number expected-1-i has not arrived */
    unsigned outstanding;   /* requests without an answer (ASKER) */
    uint8_t *pending;       /* request id modulo WINDOW_MAX -> waits for an answer (ASKER) */
} Client;

static struct {
    Mode mode;
    bool websocket, json;
    struct sockaddr_in to, to_receivers;
    const char *realm, *topic;
    int pids[PIDS_MAX], pid_count, cpu;
    unsigned receivers, window, payload, sessions, handshakes, warm_sessions;
    double warmup_s, seconds, drain_s;
    uint64_t operations_max;
} option = { .websocket = true, .json = true, .realm = "realm1", .topic = "bench.topic", .cpu = -1, .receivers = 1,
             .window = 1, .payload = 16, .sessions = 2000, .handshakes = 32, .warm_sessions = 50, .warmup_s = 0.7,
             .seconds = 2.0, .drain_s = 5.0, .operations_max = UINT64_MAX };

typedef struct {
    double at_s, own_cpu_s, cpu_s[PIDS_MAX];
    uint64_t operations;
    long rss_kib[PIDS_MAX];
} Mark;

static Client *clients;
static unsigned client_count, connected_count, ready_count;
static Client **unflushed;
static unsigned unflushed_count;
static int poller;
static uint8_t *scratch;                      /* the message being encoded */
static char *payload;                         /* the payload being sent or expected */
static uint64_t sent, completed, operations;  /* publications or calls: sent, completed; operations counted */
static uint16_t arrivals[WINDOW_MAX];         /* sequence number modulo WINDOW_MAX -> deliveries so far */
static struct { uint64_t lost, duplicated, reordered, damaged; } fault;
static char failure[400];                     /* first thing that makes going on pointless */
static const char *cpu_source = "schedstat";

/* ---- failures and clock ---- */

static void fail(const char *format, ...) {
    if (failure[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    for (char *c = failure; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\') *c = *c == '"' ? '\'' : '.';
}

static void fail_with_message(const char *what, const uint8_t *message, size_t length) {
    fail("%s: %.*s", what, (int)(length < 250 ? length : 250), (const char *)message);
}

static void usage(const char *problem, const char *value) {
    fprintf(stderr, "load: %s: %s\n", problem, value);
    exit(2);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ---- CPU and memory of the router, and our own ---- */

static double cpu_from_stat_s(int pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    unsigned long user = 0, system = 0;
    char *after_name = strrchr(text, ')');
    if (after_name) sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

/* Nanoseconds instead of clock ticks: the sum over all threads, as schedstat of a process has its main thread only. */
static double cpu_of_process_s(int pid) {
    char path[64 + 256];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads) { fail("the router (process %d) has ended", pid); return 0; }
    double total = 0;
    bool found = false;
    for (struct dirent *thread; (thread = readdir(threads));) {
        unsigned long long ns;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread->d_name);
        FILE *file = thread->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%llu", &ns) == 1) { total += ns * 1e-9; found = true; }
        fclose(file);
    }
    closedir(threads);
    if (found && total > 0) return total;
    cpu_source = "stat";
    return cpu_from_stat_s(pid);
}

static long rss_of_process_kib(int pid) {
    char path[64];
    long resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fscanf(file, "%*d %ld", &resident) != 1) resident = 0;
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static double own_cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static Mark take_mark(void) {
    Mark mark = { .at_s = now_s(), .own_cpu_s = own_cpu_s(), .operations = operations };
    for (int i = 0; i < option.pid_count; i++) {
        mark.cpu_s[i] = cpu_of_process_s(option.pids[i]);
        mark.rss_kib[i] = rss_of_process_kib(option.pids[i]);
    }
    return mark;
}

/* ---- buffers ---- */

static void *checked(void *memory) {
    if (!memory) { fputs("load: out of memory\n", stderr); exit(2); }
    return memory;
}

static uint8_t *reserve(Buffer *buffer, size_t more) {
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
    if (buffer->end + more > buffer->size && buffer->start) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->end + more > buffer->size) {
        buffer->size = (buffer->end + more) * 2;
        buffer->data = checked(realloc(buffer->data, buffer->size));
    }
    return buffer->data + buffer->end;
}

/* ---- writing messages (scratch has room for PAYLOAD_MAX and any header) ---- */

typedef struct { uint8_t *at; bool comma; } Writer;

static void put_byte(Writer *w, uint8_t byte) { *w->at++ = byte; }
static void put_bytes(Writer *w, const void *bytes, size_t length) { memcpy(w->at, bytes, length); w->at += length; }

static void separate(Writer *w) {
    if (option.json && w->comma) put_byte(w, ',');
    w->comma = true;
}

static void put_big_endian(Writer *w, uint8_t type, uint64_t value, int bytes) {
    put_byte(w, type);
    while (bytes--) put_byte(w, value >> (8 * bytes));
}

static void open_array(Writer *w, unsigned items) {
    separate(w);
    w->comma = false;
    put_byte(w, option.json ? '[' : 0x90 | items);
}

static void open_map(Writer *w, unsigned items) {
    separate(w);
    w->comma = false;
    put_byte(w, option.json ? '{' : 0x80 | items);
}

static void close_with(Writer *w, char bracket) {
    if (option.json) put_byte(w, bracket);
    w->comma = true;
}

static void put_integer(Writer *w, uint64_t value) {
    separate(w);
    if (option.json) {
        char digits[20], *first = digits + sizeof digits;
        do *--first = '0' + value % 10; while (value /= 10);
        put_bytes(w, first, digits + sizeof digits - first);
    }
    else if (value < 0x80) put_byte(w, value);
    else if (value <= 0xff) put_big_endian(w, 0xcc, value, 1);
    else if (value <= 0xffff) put_big_endian(w, 0xcd, value, 2);
    else if (value <= 0xffffffff) put_big_endian(w, 0xce, value, 4);
    else put_big_endian(w, 0xcf, value, 8);
}

/* Text without characters that JSON escapes. */
static void put_text(Writer *w, const char *text, size_t length) {
    separate(w);
    if (option.json) put_byte(w, '"');
    else if (length < 32) put_byte(w, 0xa0 | length);
    else if (length <= 0xff) put_big_endian(w, 0xd9, length, 1);
    else if (length <= 0xffff) put_big_endian(w, 0xda, length, 2);
    else put_big_endian(w, 0xdb, length, 4);
    put_bytes(w, text, length);
    if (option.json) put_byte(w, '"');
}

static void put_key(Writer *w, const char *key) {
    put_text(w, key, strlen(key));
    if (option.json) { put_byte(w, ':'); w->comma = false; }
}

static void put_empty_map(Writer *w) { open_map(w, 0); close_with(w, '}'); }

static Writer begin_message(unsigned items, unsigned code) {
    Writer w = { .at = scratch };
    open_array(&w, items);
    put_integer(&w, code);
    return w;
}

static void put_payload(Writer *w) {
    open_array(w, 1);
    put_text(w, payload, option.payload);
    close_with(w, ']');
}

/* ---- framing and sending ---- */

static void queue_flush(Client *client) {
    if (client->queued) return;
    client->queued = true;
    unflushed[unflushed_count++] = client;
}

static void append(Client *client, const void *bytes, size_t length) {
    memcpy(reserve(&client->out, length), bytes, length);
    client->out.end += length;
    queue_flush(client);
}

static void send_websocket_frame(Client *client, uint8_t opcode, const uint8_t *body, size_t length) {
    static uint64_t mask = 0x9d3f5a71c4e2b86d;
    mask ^= mask << 13; mask ^= mask >> 7; mask ^= mask << 17;
    uint32_t key = (uint32_t)(mask >> 32);
    uint64_t key_twice = (uint64_t)key << 32 | key;
    Writer w = { .at = reserve(&client->out, length + 14 + 8) };
    uint8_t *first = w.at;
    put_byte(&w, 0x80 | opcode);
    if (length < 126) put_byte(&w, 0x80 | length);
    else if (length <= 0xffff) put_big_endian(&w, 0x80 | 126, length, 2);
    else put_big_endian(&w, 0x80 | 127, length, 8);
    put_bytes(&w, &key, 4);
    /* Whole words: up to 7 bytes too many are written into the reserve, and read from scratch, which has room. */
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word;
        memcpy(&word, body + i, 8);
        word ^= key_twice;
        memcpy(w.at + i, &word, 8);
    }
    client->out.end += (w.at - first) + length;
    queue_flush(client);
}

static void send_rawsocket_frame(Client *client, uint8_t type, const uint8_t *body, size_t length) {
    uint8_t header[4] = { type, length >> 16, length >> 8, length };
    append(client, header, 4);
    append(client, body, length);
}

static void send_message(Client *client, Writer *w) {
    close_with(w, ']');
    size_t length = w->at - scratch;
    if (option.websocket) send_websocket_frame(client, option.json ? 1 : 2, scratch, length);
    else send_rawsocket_frame(client, 0, scratch, length);
}

static void watch(Client *client, int operation, bool write) {
    struct epoll_event event = { .events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = client };
    if (epoll_ctl(poller, operation, client->fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
    client->wants_write = write;
}

static void flush_client(Client *client) {
    Buffer *out = &client->out;
    while (out->start < out->end) {
        ssize_t n = send(client->fd, out->data + out->start, out->end - out->start, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) { fail("the router closed a connection: %s", strerror(errno)); return; }
        out->start += n;
    }
    bool unsent = out->start < out->end;
    if (unsent != client->wants_write) watch(client, EPOLL_CTL_MOD, unsent);
}

static void flush_all(void) {
    while (unflushed_count) {
        Client *client = unflushed[--unflushed_count];
        client->queued = false;
        if (client->state > CONNECTING) flush_client(client);
    }
}

/* ---- reading messages: both formats without a tree ---- */

typedef struct { const uint8_t *at, *end; bool bad; } Reader;

static uint8_t next_byte(Reader *r) {
    if (r->at >= r->end) { r->bad = true; return 0; }
    return *r->at++;
}

static uint64_t next_big_endian(Reader *r, int bytes) {
    uint64_t value = 0;
    while (bytes--) value = value << 8 | next_byte(r);
    return value;
}

static void advance(Reader *r, uint64_t length) {
    if (length > (uint64_t)(r->end - r->at)) r->bad = true;
    else r->at += length;
}

static void skip_json_space(Reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == ',' || *r->at == ':' || *r->at == '\n' || *r->at == '\r'
                              || *r->at == '\t')) r->at++;
}

static void enter_array(Reader *r) {
    if (option.json) skip_json_space(r);
    uint8_t head = next_byte(r);
    if (option.json) r->bad |= head != '[';
    else if (head == 0xdc) next_big_endian(r, 2);
    else if (head == 0xdd) next_big_endian(r, 4);
    else r->bad |= (head & 0xf0) != 0x90;
}

static uint64_t next_integer(Reader *r) {
    if (option.json) {
        skip_json_space(r);
        uint64_t value = 0;
        const uint8_t *first = r->at;
        while (r->at < r->end && *r->at >= '0' && *r->at <= '9') value = value * 10 + (*r->at++ - '0');
        r->bad |= r->at == first;
        return value;
    }
    uint8_t head = next_byte(r);
    if (head < 0x80) return head;
    if (head >= 0xcc && head <= 0xcf) return next_big_endian(r, 1 << (head - 0xcc));
    if (head >= 0xd0 && head <= 0xd3) return next_big_endian(r, 1 << (head - 0xd0));
    r->bad = true;
    return 0;
}

static const uint8_t *next_text(Reader *r, size_t *length) {
    const uint8_t *first;
    *length = 0;
    if (option.json) {
        skip_json_space(r);
        if (next_byte(r) != '"') { r->bad = true; return NULL; }
        first = r->at;
        for (;;) {
            uint8_t c = next_byte(r);
            if (r->bad) return NULL;
            if (c == '"') break;
            if (c == '\\') next_byte(r);
        }
        *length = r->at - first - 1;
        return first;
    }
    uint8_t head = next_byte(r);
    if ((head & 0xe0) == 0xa0) *length = head & 0x1f;
    else if (head >= 0xd9 && head <= 0xdb) *length = next_big_endian(r, 1 << (head - 0xd9));
    else r->bad = true;
    first = r->at;
    advance(r, *length);
    return first;
}

static void skip_json_value(Reader *r) {
    int depth = 0;
    do {
        skip_json_space(r);
        size_t length;
        if (r->at >= r->end) { r->bad = true; return; }
        uint8_t c = *r->at;
        if (c == '"') next_text(r, &length);
        else if (c == '[' || c == '{') { depth++; r->at++; }
        else if (c == ']' || c == '}') { depth--; r->at++; }
        else while (r->at < r->end && !strchr(",:]} \n\r\t", *r->at)) r->at++;
    } while (depth > 0 && !r->bad);
}

static void skip_msgpack_value(Reader *r) {
    for (uint64_t left = 1; left && !r->bad; left--) {
        uint8_t head = next_byte(r);
        if (head < 0x80 || head >= 0xe0 || (head >= 0xc0 && head <= 0xc3)) continue;
        if (head <= 0x8f) left += 2 * (head & 0x0f);
        else if (head <= 0x9f) left += head & 0x0f;
        else if (head <= 0xbf) advance(r, head & 0x1f);
        else if (head <= 0xc6) advance(r, next_big_endian(r, 1 << (head - 0xc4)));
        else if (head <= 0xc9) advance(r, next_big_endian(r, 1 << (head - 0xc7)) + 1);
        else if (head <= 0xcb) advance(r, head == 0xca ? 4 : 8);
        else if (head <= 0xd3) advance(r, 1 << (head - (head <= 0xcf ? 0xcc : 0xd0)));
        else if (head <= 0xd8) advance(r, (1 << (head - 0xd4)) + 1);
        else if (head <= 0xdb) advance(r, next_big_endian(r, 1 << (head - 0xd9)));
        else if (head <= 0xdd) left += next_big_endian(r, head == 0xdc ? 2 : 4);
        else left += 2 * next_big_endian(r, head == 0xde ? 2 : 4);
    }
}

static void skip_value(Reader *r) {
    if (option.json) skip_json_value(r);
    else skip_msgpack_value(r);
}

/* ---- payloads: 8 hexadecimal digits of the number, 8 of its check, then a fixed pattern ---- */

static void put_hexadecimal(char *at, uint32_t value) {
    for (int i = 7; i >= 0; i--, value >>= 4) at[i] = "0123456789abcdef"[value & 15];
}

static uint32_t check_of(uint32_t number) { return number * 0x9e3779b1u ^ 0x5bd1e995u; }

static void number_payload(uint32_t number) {
    static uint32_t current = UINT32_MAX;
    if (number == current) return;
    put_hexadecimal(payload, number);
    put_hexadecimal(payload + 8, check_of(number));
    current = number;
}

static bool parse_number(const uint8_t *text, uint32_t *number) {
    char digits[17];
    memcpy(digits, text, 16);
    digits[16] = 0;
    unsigned check;
    return sscanf(digits, "%8x%8x", number, &check) == 2 && check == check_of(*number);
}

/* A number other than the expected one: missing numbers are lost until they turn up late. */
static bool note_irregular_number(Client *client, uint32_t number) {
    if (number >= sent) { fault.damaged++; return false; }
    if (number > client->expected) {
        uint32_t gap = number - client->expected;
        fault.lost += gap;
        client->gaps = gap < 63 ? client->gaps << (gap + 1) | ((1ull << gap) - 1) << 1 : ~1ull;
        client->expected = number + 1;
        return true;
    }
    uint32_t distance = client->expected - 1 - number;
    if (distance < 64 && client->gaps >> distance & 1) {
        client->gaps &= ~(1ull << distance);
        fault.lost--;
        fault.reordered++;
        return true;
    }
    fault.duplicated++;
    return false;
}

/* Verifies args, where the reader stands. Returns whether it is a new, undamaged number, and which. */
static bool verify_payload(Client *client, Reader *r, uint32_t *number) {
    size_t length;
    enter_array(r);
    const uint8_t *text = next_text(r, &length);
    number_payload(client->expected);
    *number = client->expected;
    if (!r->bad && length == option.payload && !memcmp(text, payload, length) && client->expected < sent) {
        client->expected++;
        client->gaps <<= 1;
        return true;
    }
    if (r->bad || length != option.payload || !parse_number(text, number)
        || memcmp(text + PAYLOAD_MIN, payload + PAYLOAD_MIN, length - PAYLOAD_MIN)) {
        fault.damaged++;
        return false;
    }
    return note_irregular_number(client, *number);
}

/* ---- what the clients say ---- */

static void send_hello(Client *client) {
    static const char *const roles[] = { "publisher", "subscriber", "caller", "callee" };
    Writer w = begin_message(3, HELLO);
    put_text(&w, option.realm, strlen(option.realm));
    open_map(&w, 1);
    put_key(&w, "roles");
    open_map(&w, 4);
    for (int i = 0; i < 4; i++) { put_key(&w, roles[i]); put_empty_map(&w); }
    close_with(&w, '}');
    close_with(&w, '}');
    client->state = JOINING;
    send_message(client, &w);
}

static void send_request(Client *client, unsigned code, const char *uri) {
    Writer w = begin_message(4, code);
    put_integer(&w, ++client->request);
    put_empty_map(&w);
    put_text(&w, uri, strlen(uri));
    send_message(client, &w);
}

static void send_numbered(Client *client, unsigned code, uint32_t number) {
    Writer w = begin_message(5, code);
    put_integer(&w, ++client->request);
    put_empty_map(&w);
    put_text(&w, option.topic, strlen(option.topic));
    number_payload(number);
    put_payload(&w);
    send_message(client, &w);
}

static void send_yield(Client *client, uint64_t invocation, uint32_t number) {
    Writer w = begin_message(4, YIELD);
    put_integer(&w, invocation);
    put_empty_map(&w);
    number_payload(number);
    put_payload(&w);
    send_message(client, &w);
}

static void send_new_subscription(Client *client) {
    char topic[128];
    snprintf(topic, sizeof topic, "%s.%u.%llu", option.topic, (unsigned)(client - clients),
             (unsigned long long)client->request);
    send_request(client, SUBSCRIBE, topic);
    client->pending[client->request % WINDOW_MAX] = 1;
    client->outstanding++;
    sent++;
}

static bool connection_has_room(const Client *client) { return client->out.end - client->out.start < UNSENT_MAX; }

/* Keeps the window full. The sending client is always the first one. */
static void send_more(void) {
    Client *first = &clients[0];
    if (option.mode == PUBSUB || option.mode == RPC) {
        while (sent - completed < option.window && connection_has_room(first))
            send_numbered(first, option.mode == PUBSUB ? PUBLISH : CALL, sent++);
        return;
    }
    for (unsigned i = 0; option.mode == SUBSCRIBING && i < client_count; i++)
        while (clients[i].outstanding < option.window / client_count) send_new_subscription(&clients[i]);
}

/* ---- what the router says ---- */

static void become_ready(Client *client) {
    client->state = READY;
    ready_count++;
}

static void on_welcome(Client *client) {
    if (client->role != SUBSCRIBER && client->role != CALLEE) { become_ready(client); return; }
    client->state = ATTACHING;
    send_request(client, client->role == SUBSCRIBER ? SUBSCRIBE : REGISTER, option.topic);
}

static void on_attached(Client *client, Reader *r) {
    if (next_integer(r) != client->request) { fail("an answer to a request that was not sent"); return; }
    client->attached = next_integer(r);
    become_ready(client);
}

static void on_subscribed(Client *client, Reader *r) {
    if (client->role != ASKER) { on_attached(client, r); return; }
    uint64_t request = next_integer(r);
    uint8_t *pending = &client->pending[request % WINDOW_MAX];
    if (request > client->request || !*pending) { fault.duplicated++; return; }
    *pending = 0;
    client->outstanding--;
    completed++;
    operations++;
}

static void on_event(Client *client, Reader *r) {
    uint32_t number;
    if (next_integer(r) != client->attached) { fault.damaged++; return; }
    next_integer(r);
    skip_value(r);
    if (!verify_payload(client, r, &number)) return;
    operations++;
    uint16_t *count = &arrivals[number % WINDOW_MAX];
    if (++*count < option.receivers) return;
    *count = 0;
    completed++;
}

static void on_invocation(Client *client, Reader *r) {
    uint32_t number;
    uint64_t invocation = next_integer(r);
    if (next_integer(r) != client->attached) { fault.damaged++; return; }
    skip_value(r);
    if (verify_payload(client, r, &number)) send_yield(client, invocation, number);
}

/* The payload must be the one of that very call: its request id is one more than its number. */
static void on_result(Client *client, Reader *r) {
    uint32_t number;
    uint64_t request = next_integer(r);
    skip_value(r);
    if (!verify_payload(client, r, &number)) return;
    if (request != (uint64_t)number + 1) { fault.damaged++; return; }
    completed++;
    operations++;
}

static void on_message(Client *client, const uint8_t *message, size_t length) {
    Reader r = { .at = message, .end = message + length };
    enter_array(&r);
    uint64_t code = next_integer(&r);
    if (code == EVENT && client->role == SUBSCRIBER) on_event(client, &r);
    else if (code == RESULT && client->role == CALLER) on_result(client, &r);
    else if (code == INVOCATION && client->role == CALLEE) on_invocation(client, &r);
    else if (code == SUBSCRIBED) on_subscribed(client, &r);
    else if (code == REGISTERED && client->role == CALLEE) on_attached(client, &r);
    else if (code == WELCOME && client->state == JOINING) on_welcome(client);
    else if (code == ERROR) fail_with_message("the router answered ERROR", message, length);
    else if (code == ABORT || code == GOODBYE) fail_with_message("the router ended a session", message, length);
    else fail_with_message("unexpected message", message, length);
    if (r.bad) fail_with_message("unreadable message", message, length);
}

/* ---- transports: opening handshake and frames ---- */

static void begin_negotiation(Client *client) {
    static const char upgrade[] =
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: wamp.2.%s\r\n\r\n";
    char request[sizeof upgrade + 16];
    client->state = NEGOTIATING;
    if (option.websocket) {
        int length = snprintf(request, sizeof request, upgrade, option.json ? "json" : "msgpack");
        append(client, request, length);
        return;
    }
    uint8_t magic[4] = { 0x7f, 0xf0 | (option.json ? 1 : 2), 0, 0 };
    append(client, magic, 4);
}

/* The accept value belongs to the fixed key above: SHA-1 by RFC 6455 section 1.3. */
static bool finish_websocket_negotiation(Client *client) {
    Buffer *in = &client->in;
    char *text = (char *)in->data + in->start;
    char *blank = memmem(text, in->end - in->start, "\r\n\r\n", 4);
    if (!blank) return false;
    *blank = 0;
    if (strncmp(text, "HTTP/1.1 101", 12) || !strstr(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        || !strstr(text, option.json ? "wamp.2.json" : "wamp.2.msgpack"))
        fail("the router refused the WebSocket handshake: %.200s", text);
    in->start += blank + 4 - text;
    return true;
}

static bool finish_rawsocket_negotiation(Client *client) {
    Buffer *in = &client->in;
    if (in->end - in->start < 4) return false;
    const uint8_t *reply = in->data + in->start;
    if (reply[0] != 0x7f || (reply[1] & 15) != (option.json ? 1 : 2))
        fail("the router refused the RawSocket handshake: %02x %02x", reply[0], reply[1]);
    in->start += 4;
    return true;
}

static void on_websocket_frame(Client *client, uint8_t head, const uint8_t *body, size_t length) {
    if (head == (0x80 | (option.json ? 1 : 2))) { on_message(client, body, length); return; }
    if (head == 0x8a) return;
    if (head == 0x89 && length <= 125) {
        memcpy(scratch, body, length);
        send_websocket_frame(client, 10, scratch, length);
        return;
    }
    fail("unexpected WebSocket frame %02x", head);
}

/* Takes one frame if it is complete. */
static bool take_websocket_frame(Client *client) {
    Buffer *in = &client->in;
    Reader r = { .at = in->data + in->start, .end = in->data + in->end };
    uint8_t head = next_byte(&r);
    uint64_t length = next_byte(&r);
    if (length & 0x80) { fail("the router masks its frames"); return false; }
    if (length == 126) length = next_big_endian(&r, 2);
    else if (length == 127) length = next_big_endian(&r, 8);
    if (r.bad || length > (uint64_t)(r.end - r.at)) return false;
    in->start += (r.at - (in->data + in->start)) + length;
    on_websocket_frame(client, head, r.at, length);
    return true;
}

static bool take_rawsocket_frame(Client *client) {
    Buffer *in = &client->in;
    Reader r = { .at = in->data + in->start, .end = in->data + in->end };
    uint8_t type = next_byte(&r);
    uint64_t length = next_big_endian(&r, 3);
    if (r.bad || length > (uint64_t)(r.end - r.at)) return false;
    in->start += 4 + length;
    if (type == 0) on_message(client, r.at, length);
    else if (type == 1) send_rawsocket_frame(client, 2, r.at, length);
    else if (type != 2) fail("unexpected RawSocket frame type %u", type);
    return true;
}

static void on_readable(Client *client) {
    Buffer *in = &client->in;
    /* Doubles what fits into one read when a read has filled it, up to large payloads. */
    reserve(in, in->size < 2048 ? 2048 : 1);
    size_t room = in->size - in->end;
    ssize_t n = recv(client->fd, in->data + in->end, room, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { fail("the router closed a connection%s%s", n ? ": " : "", n ? strerror(errno) : ""); return; }
    in->end += n;
    if (client->state == NEGOTIATING) {
        if (!(option.websocket ? finish_websocket_negotiation(client) : finish_rawsocket_negotiation(client))) return;
        send_hello(client);
    }
    while (in->start < in->end && !failure[0]
           && (option.websocket ? take_websocket_frame(client) : take_rawsocket_frame(client))) {}
    if ((size_t)n == room && in->size < UNSENT_MAX) reserve(in, in->size);
}

static void on_writable(Client *client) {
    if (client->state != CONNECTING) { queue_flush(client); return; }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { fail("cannot connect: %s", strerror(error)); return; }
    begin_negotiation(client);
}

/* ---- clients and phases ---- */

static void connect_client(Client *client) {
    bool receiver = client->role == SUBSCRIBER || client->role == CALLEE;
    struct sockaddr_in *to = receiver ? &option.to_receivers : &option.to;
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) { fail("socket: %s (raise the limit of open files)", strerror(errno)); return; }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->state = CONNECTING;
    connected_count++;
    if (connect(client->fd, (struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS) {
        fail("cannot connect: %s", strerror(errno));
        return;
    }
    watch(client, EPOLL_CTL_ADD, true);
}

/* Waits at most until the given time, handles what has come, sends what is due. */
static void turn(double until_s, bool sending) {
    struct epoll_event events[512];
    double wait_ms = (until_s - now_s()) * 1e3;
    int n = epoll_wait(poller, events, 512, wait_ms < 0 ? 0 : wait_ms > 100 ? 100 : (int)wait_ms + 1);
    for (int i = 0; i < n && !failure[0]; i++) {
        Client *client = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) on_writable(client);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(client);
    }
    if (sending && !failure[0]) send_more();
    flush_all();
}

/* Opens sessions in order, at most `handshakes` at a time, until `target` of them are ready. */
static void open_sessions(unsigned target) {
    double limit_s = now_s() + SETUP_LIMIT_S;
    while (ready_count < target && !failure[0]) {
        while (connected_count < target && connected_count - ready_count < option.handshakes && !failure[0])
            connect_client(&clients[connected_count]);
        turn(limit_s, false);
        if (now_s() > limit_s) fail("only %u of %u sessions were ready in time", ready_count, target);
    }
}

static void pause_for(double seconds) {
    double end_s = now_s() + seconds;
    while (now_s() < end_s && !failure[0]) turn(end_s, false);
}

static void run_until(double end_s, bool bounded) {
    while (now_s() < end_s && !failure[0] && !(bounded && operations >= option.operations_max)) turn(end_s, true);
}

/* Lets everything in flight arrive. */
static void drain(void) {
    double limit_s = now_s() + option.drain_s;
    while (completed < sent && now_s() < limit_s && !failure[0]) turn(limit_s, false);
}

static void count_what_never_came(void) {
    for (unsigned i = 0; i < client_count; i++) {
        Role role = clients[i].role;
        if (role == SUBSCRIBER || role == CALLER || role == CALLEE) fault.lost += sent - clients[i].expected;
        if (role == ASKER) fault.lost += clients[i].outstanding;
    }
}

/* Nothing is in flight at either mark, so the CPU time between them belongs to the operations between them. */
static void measure_traffic(Mark *start, Mark *end) {
    open_sessions(client_count);
    run_until(now_s() + option.warmup_s, false);
    drain();
    uint64_t before = operations;
    if (option.operations_max < UINT64_MAX - before) option.operations_max += before;
    *start = take_mark();
    run_until(now_s() + option.seconds, true);
    drain();
    *end = take_mark();
    count_what_never_came();
}

static void measure_joins(Mark *start, Mark *end) {
    open_sessions(option.warm_sessions);
    pause_for(SETTLE_MS * 1e-3);
    *start = take_mark();
    open_sessions(client_count);
    operations = ready_count - option.warm_sessions;
    *end = take_mark();
    pause_for(SETTLE_MS * 1e-3);
    Mark settled = take_mark();
    memcpy(end->rss_kib, settled.rss_kib, sizeof settled.rss_kib);
}

static Role role_of(unsigned index) {
    if (option.mode == SUBSCRIBING) return ASKER;
    if (option.mode == JOIN) return IDLER;
    if (option.mode == RPC) return index ? CALLEE : CALLER;
    return index ? SUBSCRIBER : PUBLISHER;
}

static void prepare(void) {
    if (option.mode == PUBSUB) client_count = 1 + option.receivers;
    else if (option.mode == RPC) client_count = 2;
    else if (option.mode == SUBSCRIBING) client_count = option.sessions;
    else client_count = option.sessions + option.warm_sessions;
    if (client_count > CLIENTS_MAX) usage("too many sessions", "at most 12000");
    if (option.mode == SUBSCRIBING && (!client_count || option.window < client_count || option.window % client_count))
        usage("--window", "must be a multiple of --sessions");
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(EPOLL_CLOEXEC);
    clients = checked(calloc(client_count, sizeof *clients));
    unflushed = checked(calloc(client_count, sizeof *unflushed));
    scratch = checked(calloc(1, PAYLOAD_MAX + 4096));
    payload = checked(malloc(PAYLOAD_MAX));
    for (unsigned i = 0; i < option.payload; i++) payload[i] = 'A' + (i * 7 + i / 26) % 26;
    for (unsigned i = 0; i < client_count; i++) {
        clients[i].role = role_of(i);
        if (option.mode == SUBSCRIBING) clients[i].pending = checked(calloc(1, WINDOW_MAX));
    }
}

static void print_list(const char *name, const Mark *start, const Mark *end) {
    printf("\"%s\": [", name);
    for (int i = 0; i < option.pid_count; i++) printf("%s%.6f", i ? ", " : "", end->cpu_s[i] - start->cpu_s[i]);
    printf("], ");
}

static void print_memory(const char *name, const Mark *mark) {
    printf("\"%s\": [", name);
    for (int i = 0; i < option.pid_count; i++) printf("%s%ld", i ? ", " : "", mark->rss_kib[i]);
    printf("], ");
}

static void report(const Mark *start, const Mark *end) {
    printf("{\"operations\": %llu, \"seconds\": %.6f, ", (unsigned long long)(end->operations - start->operations),
           end->at_s - start->at_s);
    print_list("router_cpu_s", start, end);
    print_memory("rss_start_kib", start);
    print_memory("rss_end_kib", end);
    printf("\"load_cpu_s\": %.6f, \"cpu_source\": \"%s\", \"sessions\": %u, ", end->own_cpu_s - start->own_cpu_s,
           cpu_source, ready_count);
    printf("\"lost\": %llu, \"duplicated\": %llu, \"reordered\": %llu, \"damaged\": %llu, \"failure\": \"%s\"}\n",
           (unsigned long long)fault.lost, (unsigned long long)fault.duplicated, (unsigned long long)fault.reordered,
           (unsigned long long)fault.damaged, failure);
}

/* ---- arguments ---- */

static struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[^:]:%u", host, &port) != 2 || port < 1 || port > 65535
        || inet_pton(AF_INET, host, &address.sin_addr) != 1)
        usage("not an IPv4 address with a port", text);
    if (ntohl(address.sin_addr.s_addr) >> 24 != 127) usage("only loopback addresses (127.x.x.x) are allowed", text);
    address.sin_port = htons(port);
    return address;
}

static unsigned parse_count(const char *name, const char *text, unsigned minimum, unsigned maximum) {
    char *rest;
    unsigned long value = strtoul(text, &rest, 10);
    if (*rest || rest == text || value < minimum || value > maximum) usage(name, text);
    return value;
}

static double parse_seconds(const char *name, const char *text) {
    char *rest;
    double value = strtod(text, &rest);
    if (*rest || rest == text || !(value >= 0 && value <= 60)) usage(name, text);
    return value;
}

static Mode parse_mode(const char *text) {
    static const char *const names[] = { "pubsub", "rpc", "subscribe", "join" };
    for (int i = 0; i < 4; i++)
        if (!strcmp(text, names[i])) return (Mode)i;
    usage("--mode is pubsub, rpc, subscribe or join, not", text);
    return PUBSUB;
}

static void parse_transport(const char *text) {
    const char *slash = strchr(text, '/');
    option.websocket = !strncmp(text, "ws/", 3);
    if (!slash || (!option.websocket && strncmp(text, "rawsocket/", 10))) usage("--transport", text);
    option.json = !strcmp(slash, "/json");
    if (!option.json && strcmp(slash, "/msgpack")) usage("--transport", text);
}

static void parse_option(const char *name, const char *value) {
    if (!strcmp(name, "--mode")) option.mode = parse_mode(value);
    else if (!strcmp(name, "--transport")) parse_transport(value);
    else if (!strcmp(name, "--to")) option.to = parse_address(value);
    else if (!strcmp(name, "--to-receivers")) option.to_receivers = parse_address(value);
    else if (!strcmp(name, "--realm")) option.realm = value;
    else if (!strcmp(name, "--topic") && strlen(value) < 64) option.topic = value;
    else if (!strcmp(name, "--pid") && option.pid_count < PIDS_MAX)
        option.pids[option.pid_count++] = parse_count(name, value, 1, 1 << 30);
    else if (!strcmp(name, "--cpu")) option.cpu = parse_count(name, value, 0, CPU_SETSIZE - 1);
    else if (!strcmp(name, "--receivers")) option.receivers = parse_count(name, value, 1, 10000);
    else if (!strcmp(name, "--window")) option.window = parse_count(name, value, 1, WINDOW_MAX);
    else if (!strcmp(name, "--payload")) option.payload = parse_count(name, value, PAYLOAD_MIN, PAYLOAD_MAX);
    else if (!strcmp(name, "--sessions")) option.sessions = parse_count(name, value, 1, 10000);
    else if (!strcmp(name, "--handshakes")) option.handshakes = parse_count(name, value, 1, 1000);
    else if (!strcmp(name, "--warm-sessions")) option.warm_sessions = parse_count(name, value, 1, 1000);
    else if (!strcmp(name, "--warmup")) option.warmup_s = parse_seconds(name, value);
    else if (!strcmp(name, "--seconds")) option.seconds = parse_seconds(name, value);
    else if (!strcmp(name, "--drain")) option.drain_s = parse_seconds(name, value);
    else if (!strcmp(name, "--operations")) option.operations_max = parse_count(name, value, 1, 1 << 30);
    else usage("unknown option", name);
}

int main(int argc, char **argv) {
    if (argc % 2 == 0) usage("an option without a value", argv[argc - 1]);
    for (int i = 1; i + 1 < argc; i += 2) parse_option(argv[i], argv[i + 1]);
    if (!option.to.sin_port) usage("missing option", "--to 127.0.0.1:PORT");
    if (!option.to_receivers.sin_port) option.to_receivers = option.to;
    if (option.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(option.cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) < 0) usage("--cpu", strerror(errno));
    }
    prepare();
    Mark start = { 0 }, end = { 0 };
    if (option.mode == JOIN) measure_joins(&start, &end);
    else measure_traffic(&start, &end);
    report(&start, &end);
    return failure[0] || fault.lost || fault.duplicated || fault.reordered || fault.damaged;
}
