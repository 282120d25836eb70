#include "tests/control_plane/capture.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "tests/control_plane/resource_types.h"

namespace millrace::test {

std::optional<Capture> Capture::read(const std::filesystem::path& folder, const std::set<std::string>& skipped,
                                     std::string& error) {
  Capture capture;
  capture.skipped_ = skipped;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (entry.path().extension() != ".pb") continue;
    const std::string name = entry.path().stem();
    const std::size_t dash = name.find('-');
    std::size_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + std::min(dash, name.size()), number);
    const auto type_url = dash == std::string::npos ? std::nullopt : find_type_url(std::string_view(name).substr(dash + 1));
    if (parsed.ec != std::errc{} || !type_url) {
      error = entry.path().string() + ": the name must be NNN-TYPE.pb, as 001-CDS.pb";
      return std::nullopt;
    }
    if (skipped.contains(*type_url)) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    capture.responses_.push_back(
        {.number = number, .response = {.type_url = *type_url, .bytes = std::string(std::istreambuf_iterator(file), {})}});
  }
  if (failed || capture.responses_.empty()) {
    error = folder.string() + ": holds no responses" + (failed ? ": " + failed.message() : std::string());
    return std::nullopt;
  }
  std::ranges::sort(capture.responses_, {}, &Numbered::number);
  capture.allowed_ = capture.responses_.back().number;
  return capture;
}

const CapturedResponse* Capture::next() const {
  if (position_ == responses_.size() || responses_[position_].number > allowed_) return nullptr;
  return &responses_[position_].response;
}

}  // namespace millrace::test
