#include "control-agent/diagnostics.h"

#include <utility>

namespace millrace::agent {
namespace {

void push_bounded(std::vector<ConfigError>& list, ConfigError entry) {
  if (list.size() < kMaxConfigErrors) list.push_back(std::move(entry));
}

}  // namespace

std::string ConfigError::to_string() const {
  std::string out = file;
  if (!file.empty() && line != 0) out += ":" + std::to_string(line);
  for (const auto& part : {path, reason}) {
    if (part.empty()) continue;
    if (!out.empty()) out += ": ";
    out += part;
  }
  return out;
}

void SourceMap::begin_file(std::string_view file) { files_.emplace_back(file); }

void SourceMap::record(const std::string& path, std::uint32_t line) {
  if (files_.empty()) return;
  places_[path] = {static_cast<std::uint32_t>(files_.size() - 1), line};
}

SourceMap::Place SourceMap::find(std::string_view path) const {
  while (!path.empty()) {
    const auto at = places_.find(std::string(path));
    if (at != places_.end()) return {files_[at->second.file], at->second.line};
    const auto cut = path.find_last_of(".[");
    path = cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
  }
  return files_.empty() ? Place{} : Place{files_.front(), 0};
}

ConfigError Diagnostics::locate(std::string path, std::string reason) const {
  ConfigError error{{}, 0, std::move(path), std::move(reason)};
  if (places_ != nullptr) {
    auto place = places_->find(error.path);
    error.file = std::move(place.file);
    error.line = place.line;
  }
  return error;
}

void Diagnostics::error(std::string path, std::string reason) {
  if (incomplete_paths_.contains(path) || !failed_paths_.insert(path).second) return;
  push_bounded(errors_, locate(std::move(path), std::move(reason)));
}

void Diagnostics::error_at(std::string file, std::uint32_t line, std::string path, std::string reason) {
  if (!path.empty()) failed_paths_.insert(path);
  for (auto cut = path.find_last_of(".["); cut != std::string::npos && cut > 0; cut = path.find_last_of(".[", cut - 1)) {
    incomplete_paths_.insert(path.substr(0, cut));
  }
  push_bounded(errors_, {std::move(file), line, std::move(path), std::move(reason)});
}

void Diagnostics::warning(std::string path, std::string reason) {
  push_bounded(warnings_, locate(std::move(path), std::move(reason)));
}

void Diagnostics::warning_at(std::string file, std::uint32_t line, std::string path, std::string reason) {
  push_bounded(warnings_, {std::move(file), line, std::move(path), std::move(reason)});
}

void Diagnostics::unknown_fields(std::string path, const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  push_bounded(unknown_, locate(std::move(path), "has fields that this version does not know: their numbers are " + text));
}

void Diagnostics::harmless(std::string path, std::string note) {
  push_bounded(harmless_, locate(std::move(path), std::move(note)));
}

std::string join_path(std::string_view parent, std::string_view field) {
  std::string out(parent);
  if (!out.empty()) out += '.';
  out += field;
  return out;
}

std::string index_path(std::string_view parent, std::size_t index) {
  return std::string(parent) + "[" + std::to_string(index) + "]";
}

std::string key_path(std::string_view parent, std::string_view key) {
  return std::string(parent) + "[\"" + std::string(key) + "\"]";
}

}  // namespace millrace::agent
