/* Real libraries in a sandbox: what they need of the system beyond computing, they do without. Each test is there if
 * its library is; see CMakeLists.txt. */
#include "support.h"

#if defined(HAVE_JPEG)
#include <jpeglib.h>
#endif
#if defined(HAVE_PNG)
#include <png.h>
#endif
#if defined(HAVE_ZLIB)
#include <zlib.h>
#endif
#if defined(HAVE_ZSTD)
#include <zstd.h>
#endif
#if defined(HAVE_SQLITE)
#include <sqlite3.h>
#endif
#if defined(HAVE_LUA)
#include <lua5.3/lauxlib.h>
#include <lua5.3/lua.h>
#include <lua5.3/lualib.h>
#endif

enum { WIDTH = 320, HEIGHT = 240, PIXELS = WIDTH * HEIGHT * 3, TEXT_SIZE = 1 << 20 };

/* Runs the task in a sandbox twice, in one worker. */
__attribute__((unused)) static void assert_works(pool_fn *task, int (*initializer)(void *)) {
    struct pool_options options = test_options(1);
    options.sandbox = POOL_SANDBOX_COMPUTE;
    options.initializer = initializer;
    struct pool *pool;
    int error = pool_create(&options, &pool);
    if (error == POOL_ENOTSUP && !LINUX) return;
    assert_ok(error);
    for (int i = 0; i < 2; i++) assert_ok(finish(submit(pool, task, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

__attribute__((unused)) static unsigned char *some_pixels(void) {
    unsigned char *pixels = malloc(PIXELS);
    for (size_t i = 0; pixels && i < PIXELS; i++) pixels[i] = (unsigned char)(i * 7 + i / 911);
    return pixels;
}

#if defined(HAVE_JPEG)

static unsigned char *jpeg;
static unsigned long jpeg_size;

static void make_jpeg(void) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *pixels = some_pixels();
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &jpeg, &jpeg_size);
    c.image_width = WIDTH;
    c.image_height = HEIGHT;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < HEIGHT) {
        JSAMPROW row = pixels + (size_t)c.next_scanline * WIDTH * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(pixels);
}

static int decode_jpeg(const unsigned char *data) {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    d.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, data, jpeg_size);
    jpeg_read_header(&d, TRUE);
    jpeg_start_decompress(&d);
    unsigned char *row = malloc((size_t)d.output_width * 3);
    unsigned lines = 0;
    while (d.output_scanline < d.output_height) lines += jpeg_read_scanlines(&d, &row, 1);
    jpeg_destroy_decompress(&d);
    free(row);
    return lines == HEIGHT ? 0 : 1;
}

/* Of the broken one it warns on stderr. */
static int jpeg_task(const void *in, void *out) {
    (void)in, (void)out;
    unsigned char *broken = malloc(jpeg_size);
    if (!broken || decode_jpeg(jpeg)) return 1;
    memcpy(broken, jpeg, jpeg_size);
    for (unsigned long i = jpeg_size / 2; i < jpeg_size - 2; i += 97) broken[i] ^= 0x55;
    int error = decode_jpeg(broken);
    free(broken);
    return error;
}

TEST_CASE(libjpeg_decodes_in_a_sandbox) {
    make_jpeg();
    assert_works(jpeg_task, NULL);
    free(jpeg);
}

#endif

#if defined(HAVE_PNG)

static void *png;
static png_alloc_size_t png_size;

static int png_task(const void *in, void *out) {
    (void)in, (void)out;
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, png, png_size)) return 1;
    image.format = PNG_FORMAT_RGBA;
    void *pixels = malloc(PNG_IMAGE_SIZE(image));
    int read = png_image_finish_read(&image, NULL, pixels, 0, NULL);
    free(pixels);
    return !read;
}

TEST_CASE(libpng_decodes_in_a_sandbox) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = WIDTH, .height = HEIGHT, .format = PNG_FORMAT_RGB};
    unsigned char *pixels = some_pixels();
    assert_true(png_image_write_to_memory(&image, NULL, &png_size, 0, pixels, 0, NULL));
    png = malloc(png_size);
    assert_true(png_image_write_to_memory(&image, png, &png_size, 0, pixels, 0, NULL));
    assert_works(png_task, NULL);
    free(png);
    free(pixels);
}

#endif

#if defined(HAVE_ZLIB)

static int zlib_task(const void *in, void *out) {
    (void)in, (void)out;
    uLongf packed_size = compressBound(TEXT_SIZE), size = TEXT_SIZE;
    unsigned char *text = malloc(TEXT_SIZE), *packed = malloc(packed_size), *again = malloc(TEXT_SIZE);
    fill(text, TEXT_SIZE, 1);
    int error = compress2(packed, &packed_size, text, TEXT_SIZE, 6) || uncompress(again, &size, packed, packed_size) ||
                memcmp(again, text, TEXT_SIZE) != 0;
    free(text);
    free(packed);
    free(again);
    return error;
}

TEST_CASE(zlib_works_in_a_sandbox) {
    assert_works(zlib_task, NULL);
}

#endif

#if defined(HAVE_ZSTD)

/* With threads of its own, where the library was built with them. */
static int zstd_task(const void *in, void *out) {
    (void)in, (void)out;
    size_t room = ZSTD_compressBound(TEXT_SIZE);
    char *text = malloc(TEXT_SIZE), *packed = malloc(room), *again = malloc(TEXT_SIZE);
    fill(text, TEXT_SIZE, 2);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, 2);
    size_t size = ZSTD_compress2(context, packed, room, text, TEXT_SIZE);
    int error = ZSTD_isError(size) || ZSTD_decompress(again, TEXT_SIZE, packed, size) != TEXT_SIZE ||
                memcmp(again, text, TEXT_SIZE) != 0;
    ZSTD_freeCCtx(context);
    free(text);
    free(packed);
    free(again);
    return error;
}

TEST_CASE(zstd_works_in_a_sandbox) {
    assert_works(zstd_task, NULL);
}

#endif

#if defined(HAVE_SQLITE)

/* Its generator of random numbers reads /dev/urandom when it is first used, and would go on without. */
static int seed_sqlite(void *unused) {
    (void)unused;
    char random[8];
    sqlite3_randomness(sizeof random, random);
    return sqlite3_initialize();
}

static int sqlite_task(const void *in, void *out) {
    (void)in, (void)out;
    sqlite3 *db;
    char *why = NULL;
    if (sqlite3_open(":memory:", &db)) return 1;
    int error = sqlite3_exec(db,
                             "pragma temp_store = memory; create table t(a integer primary key, b text);"
                             "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
                             " insert into t select i, hex(randomblob(64)) from n;"
                             "create index x on t(b); select count(*), max(b) from t where b > 'F' order by b; vacuum;",
                             NULL, NULL, &why);
    error = error ? task_fail(error, "%s", why) : 0;
    sqlite3_free(why);
    sqlite3_close(db);
    return error;
}

TEST_CASE(sqlite_works_in_memory_in_a_sandbox) {
    assert_works(sqlite_task, seed_sqlite);
}

#endif

#if defined(HAVE_LUA)

static int lua_task(const void *in, void *out) {
    (void)in, (void)out;
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    int error = luaL_dostring(lua, "local t = {} for i = 1, 50000 do t[i] = tostring(math.random()) end table.sort(t) "
                                   "os.date() os.clock() collectgarbage() "
                                   "local file, why = io.open('/etc/passwd') assert(not file)");
    if (error) error = task_fail(1, "%s", lua_tostring(lua, -1));
    lua_close(lua);
    return error;
}

/* A script that means harm. */
static int lua_shell_task(const void *in, void *out) {
    (void)in, (void)out;
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    luaL_dostring(lua, "os.remove('/etc/passwd')");
    lua_close(lua);
    return 0;
}

TEST_CASE(lua_works_in_a_sandbox) {
    assert_works(lua_task, NULL);
}

TEST_CASE(a_script_that_removes_files_is_refused) {
    struct pool_options options = test_options(1);
    struct pool_failure why;
    options.sandbox = POOL_SANDBOX_COMPUTE;
    if (!LINUX) return;
    struct pool *pool = pool_from(&options);
    struct future *future = submit(pool, lua_shell_task, NULL, 0, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_ok(future_failure(future, &why));
    assert_contains(why.message, "the sandbox refused unlink");
    future_free(future);
    pool_destroy(pool);
}

#endif

TEST_CASE(the_libraries_that_are_there_are_tried) {
#if !defined(HAVE_JPEG) || !defined(HAVE_PNG) || !defined(HAVE_ZLIB) || !defined(HAVE_ZSTD) ||                         \
    !defined(HAVE_SQLITE) || !defined(HAVE_LUA)
    print_message("some are not there\n");
#endif
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_libraries_that_are_there_are_tried),
#if defined(HAVE_JPEG)
        TEST(libjpeg_decodes_in_a_sandbox),
#endif
#if defined(HAVE_PNG)
        TEST(libpng_decodes_in_a_sandbox),
#endif
#if defined(HAVE_ZLIB)
        TEST(zlib_works_in_a_sandbox),
#endif
#if defined(HAVE_ZSTD)
        TEST(zstd_works_in_a_sandbox),
#endif
#if defined(HAVE_SQLITE)
        TEST(sqlite_works_in_memory_in_a_sandbox),
#endif
#if defined(HAVE_LUA)
        TEST(lua_works_in_a_sandbox),
        TEST(a_script_that_removes_files_is_refused),
#endif
    };
    return run_group("sandbox_decoders", tests, COUNT(tests), argc, argv);
}
