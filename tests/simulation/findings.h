// What the oracles of a simulation have to complain about. A run without findings has passed.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace millrace::sim {

class Findings {
 public:
  static constexpr std::size_t kKept = 20;  ///< texts; more are only counted

  void add(std::string text) {
    ++count_;
    if (texts_.size() < kKept) texts_.push_back(std::move(text));
  }
  void add(const Findings& others) {
    for (const std::string& text : others.texts_) add(text);
    count_ += others.count_ - others.texts_.size();
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::string render() const {
    std::string all;
    for (const std::string& text : texts_) all += "  " + text + "\n";
    if (count_ > texts_.size()) all += "  and " + std::to_string(count_ - texts_.size()) + " more\n";
    return all;
  }
  /// Whether one of them contains `part`.
  [[nodiscard]] bool mention(const std::string& part) const { return render().find(part) != std::string::npos; }

 private:
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

}  // namespace millrace::sim
