// Python:  executor.submit(functools.partial(power, base, exponent))
// Shows calls from C++17: a functor is copied as the argument, and one function template calls it in the worker. An
// exception must not leave a task, so the template makes it a failure with its text.
#include <parpool.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <type_traits>

template <typename Functor> int call(const void *in, void *out) {
    using Result = std::invoke_result_t<const Functor &>;
    try {
        *static_cast<Result *>(out) = (*static_cast<const Functor *>(in))();
        return 0;
    } catch (const std::exception &e) {
        return task_fail(1, "%s", e.what());
    }
}

template <typename Functor> int submit(pool *p, const Functor &functor, future **f) {
    using Result = std::invoke_result_t<const Functor &>;
    static_assert(std::is_trivially_copyable_v<Functor> && std::is_trivially_copyable_v<Result>,
                  "both are copied from one process to another");
    pool_task task{};
    task.fn = call<Functor>;
    task.in = &functor;
    task.in_size = sizeof functor;
    task.out_size = sizeof(Result);
    return pool_submit(p, &task, f);
}

struct Power {
    double base;
    int exponent;
    double operator()() const {
        if (exponent < 0) throw std::domain_error("a negative exponent");
        double result = 1;
        for (int i = 0; i < exponent; i++) result *= base;
        return result;
    }
};

int main() {
    pool *p = nullptr;
    if (int error = pool_create(nullptr, &p)) return std::printf("%s\n", pool_strerror(error)), 1;
    for (const Power power : {Power{2, 10}, Power{1.5, 3}, Power{2, -1}}) {
        future *f = nullptr;
        double result = 0;
        int error = submit(p, power, &f);
        if (error) return std::printf("%s\n", pool_strerror(error)), 1;
        pool_failure failure{};
        error = future_get(f, &result, -1);
        if (error) future_failure(f, &failure);
        if (error) std::printf("%s: %s\n", pool_error_name(error), failure.message);
        else std::printf("%g\n", result);
        future_free(f);
    }
    pool_destroy(p);
    return 0;
}
