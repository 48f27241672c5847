#include "remote/hosts.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "parpool.h"

#define NAME_MOST 255U               /* characters of a host's name, with its user's */
#define FILE_MOST ((size_t)4 << 20)  /* bytes of a file of hosts */

/* A list while it is read. */
struct reader {
    struct pp_hosts *hosts;
    bool of_slurm; /* what is added is of the allocation */
    char *why;
    size_t room;
};

static int refuse(const struct reader *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->why, r->room, format, arguments);
    va_end(arguments);
    return POOL_EINVAL;
}

/* ---- entries */

/* Characters of names, users and addresses. A blank, a quote or a $ would mean more to a shell. */
static bool is_of_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._-@:%", c));
}

static bool is_name(const char *name) {
    size_t size = strlen(name);
    const char *host = strrchr(name, '@');
    host = host ? host + 1 : name;
    if (size == 0 || size > NAME_MOST || name[0] == '-' || name[0] == '@' || *host == 0 || *host == '-') return false;
    for (size_t i = 0; i < size; i++)
        if (!is_of_name(name[i])) return false;
    return true;
}

static struct pp_host_entry *find(const struct pp_hosts *hosts, const char *name) {
    for (size_t i = 0; i < hosts->count; i++)
        if (!hosts->list[i].local && strcmp(hosts->list[i].name, name) == 0) return &hosts->list[i];
    return NULL;
}

/* A name that is there twice without a number has two CPUs: so batch systems count. */
static void add_cpus(struct pp_host_entry *host, int cpus, bool counted) {
    int had = host->cpus > 0 || counted ? host->cpus : 1;
    int sum = had + (cpus > 0 ? cpus : 1);
    host->cpus = sum < (int)PP_HOSTS_MOST ? sum : (int)PP_HOSTS_MOST;
}

/* cpus: 0: the entry does not say. */
static int add(struct reader *r, const char *name, int cpus, bool local) {
    struct pp_hosts *hosts = r->hosts;
    if (!is_name(name)) return refuse(r, "\"%.80s\" is no name of a host", name);
    struct pp_host_entry *known = local ? NULL : find(hosts, name);
    if (known) {
        add_cpus(known, cpus, hosts->counted);
        return 0;
    }
    if (hosts->count == PP_HOSTS_MOST) return refuse(r, "more than %u hosts", PP_HOSTS_MOST);
    if ((hosts->count & (hosts->count - 1)) == 0) { /* as many again */
        size_t room = hosts->count ? 2 * hosts->count : 1;
        void *list = pp_realloc(hosts->list, room * sizeof *hosts->list);
        if (!list) return POOL_ENOMEM;
        hosts->list = list;
    }
    size_t size = strlen(name) + 1;
    char *copy = pp_zalloc(1, size);
    if (!copy) return POOL_ENOMEM;
    memcpy(copy, name, size);
    if (cpus == 0 && hosts->counted) cpus = 1;
    hosts->list[hosts->count++] =
        (struct pp_host_entry){.name = copy, .cpus = cpus, .local = local, .slurm = r->of_slurm};
    return 0;
}

/* A number from 1 on that makes up all of the text; 0: it is none, or too large. */
static int read_cpus(const char *text) {
    char *end;
    long number = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : 0;
    return number < 1 || number > (long)PP_HOSTS_MOST || *end ? 0 : (int)number;
}

/* Cuts ":16" off the name, but nothing of an address without brackets. Returns whether what follows the colon is a
 * number. */
static bool cut_cpus(char *name, int *cpus) {
    *cpus = 0;
    char *colon = strrchr(name, ':');
    if (!colon || strchr(name, ':') != colon) return true; /* none, or an IPv6 address */
    *cpus = read_cpus(colon + 1);
    *colon = 0;
    return *cpus > 0;
}

static bool is_local(const char *name) {
    return strcmp(name, "local") == 0;
}

/* An entry without brackets. */
static int add_plain(struct reader *r, char *name) {
    int cpus;
    if (!cut_cpus(name, &cpus)) return refuse(r, "\"%.80s\" has no number of CPUs behind its colon", name);
    return add(r, name, cpus, is_local(name));
}

/* alice@[::1]:16 */
static int add_address(struct reader *r, const char *entry, const char *open, const char *close) {
    char name[NAME_MOST + 1];
    int cpus = close[1] == ':' ? read_cpus(close + 2) : 0;
    if (close[1] && !cpus) return refuse(r, "\"%.80s\" is no address", entry);
    int size = snprintf(name, sizeof name, "%.*s%.*s", (int)(open - entry), entry, (int)(close - open - 1), open + 1);
    if (size >= (int)sizeof name) return refuse(r, "\"%.80s\" is too long", entry);
    return add(r, name, cpus, false);
}

static int add_entry(struct reader *r, const char *entry);

/* One number of "[07-09]" in the place of the bracket. */
static int add_number(struct reader *r, const char *entry, const char *open, const char *close, unsigned long number,
                      int width) {
    char name[2 * NAME_MOST];
    int size = snprintf(name, sizeof name, "%.*s%0*lu%s", (int)(open - entry), entry, width, number, close + 1);
    if (size > (int)NAME_MOST) return refuse(r, "\"%.80s\" is too long", entry);
    return add_entry(r, name); /* it has one bracket less */
}

/* w[1-3,07-09]x: a host for each number, as wide as the first of its range is written. */
static int add_ranges(struct reader *r, const char *entry, const char *open, const char *close) {
    for (const char *at = open + 1; at <= close; at++) {
        char *end;
        if (*at < '0' || *at > '9') return refuse(r, "\"%.80s\" has no number in its brackets", entry);
        unsigned long first = strtoul(at, &end, 10), last = first;
        int width = *at == '0' ? (int)(end - at) : 1;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9') last = strtoul(end + 1, &end, 10);
        if ((*end != ',' && end != close) || width > 20) return refuse(r, "\"%.80s\" is no list of numbers", entry);
        if (last < first || last - first >= PP_HOSTS_MOST)
            return refuse(r, "\"%.80s\" has a range of no or of too many hosts", entry);
        for (unsigned long n = first; n <= last; n++) {
            int error = add_number(r, entry, open, close, n, width);
            if (error) return error;
        }
        at = end;
    }
    return 0;
}

static int add_entry(struct reader *r, const char *entry) {
    if (strlen(entry) > NAME_MOST) return refuse(r, "\"%.80s\" is too long", entry);
    const char *open = strchr(entry, '['), *close = open ? strchr(open, ']') : NULL;
    if (open && !close) return refuse(r, "\"%.80s\" has a bracket that does not end", entry);
    bool is_address = open && memchr(open, ':', (size_t)(close - open));
    if (is_address) return add_address(r, entry, open, close);
    if (open) return add_ranges(r, entry, open, close);
    char name[NAME_MOST + 1];
    memcpy(name, entry, strlen(entry) + 1);
    return add_plain(r, name);
}

/* ---- files */

/* The whole file as a string; NULL: it cannot be read, or is too large. */
static char *read_file(const char *path) {
    char *text = pp_zalloc(1, FILE_MOST);
    if (text && pp_read_text(path, text, FILE_MOST) && strlen(text) < FILE_MOST - 1) return text;
    pp_release(text);
    return NULL;
}

/* A line of a file: w1, w1:2, w1 slots=2, w1 2 (and what batch systems add behind it). */
static int add_line(struct reader *r, char *line) {
    char *state = NULL;
    line[strcspn(line, "#\r")] = 0;
    char *name = strtok_r(line, " \t", &state), *more = name ? strtok_r(NULL, " \t", &state) : NULL;
    if (!name) return 0;
    if (!more) return add_entry(r, name);
    const char *number = strncmp(more, "slots=", 6) == 0 ? more + 6 : more;
    int cpus = read_cpus(number);
    if (!cpus) return refuse(r, "\"%.80s %.80s\" has no number of slots", name, more);
    char entry[NAME_MOST + 1];
    int size = snprintf(entry, sizeof entry, "%s:%d", name, cpus);
    return size < (int)sizeof entry ? add_entry(r, entry) : refuse(r, "\"%.80s\" is too long", name);
}

static int add_file(struct reader *r, const char *path) {
    char *text = read_file(path), *state = NULL;
    if (!text) return refuse(r, "the file \"%.160s\" cannot be read", path);
    int error = 0;
    for (char *line = strtok_r(text, "\n", &state); line && !error; line = strtok_r(NULL, "\n", &state))
        error = add_line(r, line);
    pp_release(text);
    return error;
}

/* ---- batch systems */

/* The CPUs of each host in turn, from Slurm's "4,1(x3)". Returns 0 at the end, or if it is something else. */
struct slurm_cpus {
    const char *at;
    int cpus, times;
};

static int next_cpus(struct slurm_cpus *s) {
    if (s->times > 0) {
        s->times--;
        return s->cpus;
    }
    char *end;
    long cpus = s->at && *s->at >= '0' && *s->at <= '9' ? strtol(s->at, &end, 10) : 0;
    if (cpus < 1 || cpus > (long)PP_HOSTS_MOST) return 0;
    s->cpus = (int)cpus;
    if (end[0] == '(' && end[1] == 'x') s->times = (int)strtol(end + 2, &end, 10) - 1;
    if (*end == ')') end++;
    s->at = *end == ',' ? end + 1 : end;
    return s->cpus;
}

/* Whether the name is this host's, of which the pool has workers anyway. */
static bool is_here(const char *name) {
    char own[NAME_MOST + 1] = "";
    const char *node = getenv("SLURMD_NODENAME");
    if (node && strcmp(node, name) == 0) return true;
    if (gethostname(own, sizeof own - 1) != 0) return false;
    own[strcspn(own, ".")] = 0;
    size_t size = strlen(own);
    return size > 0 && strncmp(name, own, size) == 0 && (name[size] == 0 || name[size] == '.');
}

/* What a batch system gives includes the host that the program runs on. */
static void drop_own(struct pp_hosts *hosts, size_t from) {
    size_t kept = from;
    for (size_t i = from; i < hosts->count; i++) {
        if (is_here(hosts->list[i].name)) pp_release(hosts->list[i].name);
        else hosts->list[kept++] = hosts->list[i];
    }
    hosts->count = kept;
}

static int add_list(struct reader *r, const char *list);

static int add_slurm(struct reader *r) {
    const char *nodes = getenv("SLURM_JOB_NODELIST"), *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (!nodes) return refuse(r, "slurm: this is no allocation: SLURM_JOB_NODELIST is not set");
    if (tasks && read_cpus(tasks) > 1)
        return refuse(r, "started as one of %.20s tasks of srun: start it once (srun -n1), it starts its nodes by "
                         "itself", tasks);
    struct slurm_cpus cpus = {.at = getenv("SLURM_JOB_CPUS_PER_NODE")};
    size_t from = r->hosts->count;
    r->of_slurm = true;
    int error = add_list(r, nodes);
    r->of_slurm = false;
    for (size_t i = from; i < r->hosts->count && !error; i++) r->hosts->list[i].cpus = next_cpus(&cpus);
    drop_own(r->hosts, from);
    return error;
}

/* LSF: "w1 4 w2 4" */
static int add_pairs(struct reader *r, const char *pairs) {
    size_t size = strlen(pairs) + 1;
    char *text = pp_zalloc(1, size), *state = NULL;
    if (!text) return POOL_ENOMEM;
    memcpy(text, pairs, size);
    int error = 0;
    for (char *name = strtok_r(text, " \t", &state); name && !error; name = strtok_r(NULL, " \t", &state)) {
        const char *number = strtok_r(NULL, " \t", &state);
        int cpus = number ? read_cpus(number) : 0;
        error = cpus ? add(r, name, cpus, false) : refuse(r, "LSB_MCPU_HOSTS has no number behind \"%.80s\"", name);
    }
    pp_release(text);
    return error;
}

static int add_batch(struct reader *r) {
    if (getenv("SLURM_JOB_NODELIST")) return add_slurm(r);
    const char *pbs = getenv("PBS_NODEFILE"), *lsf = getenv("LSB_MCPU_HOSTS"), *sge = getenv("PE_HOSTFILE");
    size_t from = r->hosts->count;
    bool counted = r->hosts->counted;
    r->hosts->counted = pbs != NULL;
    int error = pbs ? add_file(r, pbs) : lsf ? add_pairs(r, lsf) : sge ? add_file(r, sge) : 0;
    r->hosts->counted = counted;
    drop_own(r->hosts, from);
    return error;
}

/* ---- lists */

static int add_word(struct reader *r, const char *word) {
    if (word[0] == '@') return add_file(r, word + 1);
    if (strcmp(word, "slurm") == 0) return add_slurm(r);
    if (strcmp(word, "auto") == 0) return add_batch(r);
    return add_entry(r, word);
}

static int add_list(struct reader *r, const char *list) {
    while (*(list += strspn(list, ", \t\r\n"))) {
        size_t size = 0;
        for (int depth = 0; list[size] && (depth > 0 || !strchr(", \t\r\n", list[size])); size++)
            depth += list[size] == '[' ? 1 : list[size] == ']' ? -1 : 0;
        char word[PATH_MAX];
        if (size >= sizeof word) return refuse(r, "\"%.80s\" is too long", list);
        memcpy(word, list, size);
        word[size] = 0;
        int error = add_word(r, word);
        if (error) return error;
        list += size;
    }
    return 0;
}

int pp_hosts_parse(const char *list, struct pp_hosts *hosts, char *why, size_t room) {
    *hosts = (struct pp_hosts){.count = 0};
    struct reader r = {.hosts = hosts, .why = why, .room = room};
    int error = list ? add_list(&r, list) : 0;
    if (error == POOL_ENOMEM) snprintf(why, room, "no memory for the list of hosts");
    if (error) pp_hosts_release(hosts);
    return error;
}

void pp_hosts_release(struct pp_hosts *hosts) {
    for (size_t i = 0; i < hosts->count; i++) pp_release(hosts->list[i].name);
    pp_release(hosts->list);
    *hosts = (struct pp_hosts){.count = 0};
}
