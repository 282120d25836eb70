// A name that many tables hold: copies share the text. With ten thousand clusters, each named in ten tables, names would else be
// a good part of what the agent keeps.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace millrace::agent {

/// As a value, ordered and compared as its text. Converts from texts, which copies it, and to a text, which does not.
class SharedName {
 public:
  SharedName() = default;
  SharedName(std::string text)  // NOLINT(google-explicit-constructor)
      : text_(text.empty() ? nullptr : std::make_shared<const std::string>(std::move(text))) {}
  SharedName(const char* text) : SharedName(std::string(text)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] const std::string& text() const { return text_ == nullptr ? kEmpty : *text_; }
  operator const std::string&() const { return text(); }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool empty() const { return text_ == nullptr; }

  friend bool operator==(const SharedName& a, const SharedName& b) { return a.text_ == b.text_ || a.text() == b.text(); }
  friend bool operator==(const SharedName& a, const std::string& b) { return a.text() == b; }
  friend std::strong_ordering operator<=>(const SharedName& a, const SharedName& b) { return a.text() <=> b.text(); }
  friend std::strong_ordering operator<=>(const SharedName& a, const std::string& b) { return a.text() <=> b; }

  struct Hash {
    std::size_t operator()(const std::string& text) const { return std::hash<std::string>{}(text); }
    std::size_t operator()(const SharedName& name) const { return (*this)(name.text()); }
  };

 private:
  inline static const std::string kEmpty;

  std::shared_ptr<const std::string> text_;  // null: empty
};

}  // namespace millrace::agent
