// Requests, formats and regexes for the tests of policies.
#pragma once

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "config/model/route.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace millrace::proxy::testing {

using Field = std::pair<std::string_view, std::string_view>;

inline config::Regex regex(const std::string& pattern) {
  return {.pattern = pattern, .programs = {std::make_shared<const re2::RE2>(pattern)}};
}

inline config::Format literal(std::string_view text) {
  config::Format format;
  format.source = text;
  format.elements.push_back(
      {.command = config::FormatCommand::kLiteral, .text = std::string(text), .alternative = {}, .max_length = {}});
  return format;
}

inline config::Format field_format(config::FormatCommand command, std::string_view text = {}, std::string_view alternative = {},
                                   std::optional<std::uint32_t> max_length = {}) {
  config::Format format;
  format.elements.push_back(
      {.command = command, .text = std::string(text), .alternative = std::string(alternative), .max_length = max_length});
  return format;
}

inline config::StringMatcher text_matcher(config::StringMatcher::Kind kind, std::string_view text, bool ignore_case = false) {
  config::StringMatcher matcher;
  matcher.kind = kind;
  matcher.text = text;
  matcher.ignore_case = ignore_case;
  return matcher;
}

/// Memory of one stream.
struct Memory {
  ChunkPool pool{4, 64, 4};
  Arena arena{pool};
};

/// A pool without a single chunk: every allocation fails.
struct NoMemory {
  ChunkPool pool{0, 0, 0};
  Arena arena{pool};
};

struct Request : Memory {
  explicit Request(std::string_view path = "/", std::initializer_list<Field> fields = {}) : head(arena, 100) {
    head.method = "GET";
    head.authority = "example.com";
    head.path = path;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
  }
  http::RequestHead head;
};

struct Response : Memory {
  explicit Response(std::uint16_t status = 200, std::initializer_list<Field> fields = {}) : head(arena, 100) {
    head.status = status;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
  }
  http::ResponseHead head;
};

}  // namespace millrace::proxy::testing
