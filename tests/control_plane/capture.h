// A conversation that was recorded: responses in files NNN-TYPE.pb of one folder, to be sent again in that order, each when the
// client has asked for its type and has answered the type's last one. Which requests were recorded beside them does not matter.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace millrace::test {

struct CapturedResponse {
  std::string type_url;
  std::string bytes;
};

class Capture {
 public:
  /// `skipped`: type URLs that are left out. An error says what is wrong with the folder.
  [[nodiscard]] static std::optional<Capture> read(const std::filesystem::path& folder, const std::set<std::string>& skipped,
                                                   std::string& error);

  /// Responses are given out up to this one (the number before the file's name).
  void allow(std::size_t last) { allowed_ = last; }
  /// The one whose turn it is; null: none is left, or allowed.
  [[nodiscard]] const CapturedResponse* next() const;
  void advance() { ++position_; }
  [[nodiscard]] std::size_t left() const { return responses_.size() - position_; }
  [[nodiscard]] bool skips(const std::string& type_url) const { return skipped_.contains(type_url); }

 private:
  struct Numbered {
    std::size_t number;
    CapturedResponse response;
  };
  std::vector<Numbered> responses_;
  std::set<std::string> skipped_;
  std::size_t position_ = 0;
  std::size_t allowed_ = 0;
};

}  // namespace millrace::test
