#include "control-agent/overload/resources.h"

#include <malloc.h>

#include <charconv>
#include <fstream>
#include <utility>

namespace millrace::agent {
namespace {

constexpr std::size_t kMostInjectedBytes = 64;

}  // namespace

PressureReader heap_reader(std::uint64_t max_bytes) {
  return [max_bytes]() -> Result<double, std::string> {
    const struct mallinfo2 heap = mallinfo2();
    return static_cast<double>(heap.uordblks + heap.hblkhd) / static_cast<double>(max_bytes);
  };
}

PressureReader injected_reader(std::string path) {
  return [path = std::move(path)]() -> Result<double, std::string> {
    std::ifstream in(path);
    std::string text(kMostInjectedBytes, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in.is_open() || in.bad()) return Error<std::string>("the file \"" + path + "\" cannot be read");
    text.resize(static_cast<std::size_t>(in.gcount()));
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    double pressure = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pressure);
    if (error != std::errc() || end != text.data() + text.size() || !(pressure >= 0 && pressure <= 1))
      return Error<std::string>("\"" + text + "\" in \"" + path + "\" is not a number from 0 to 1");
    return pressure;
  };
}

void shrink_heap() { malloc_trim(0); }

}  // namespace millrace::agent
