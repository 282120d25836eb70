#include "control-agent/loader.h"

#include <google/protobuf/descriptor.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "control-agent/loader_walk.h"
#include "control-agent/scalars.h"

namespace millrace::agent {

using google::protobuf::Descriptor;
using google::protobuf::Message;

namespace {

/// JSON writes a character beyond the basic plane as two escapes ("\ud83d\ude00"); YAML has "\U0001f600" for it, of one line too.
std::string join_surrogates(std::string_view text) {
  const auto hex4 = [&](std::size_t at) -> unsigned {
    unsigned value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const char c = at + i < text.size() ? text[at + i] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return 0;
      value = value * 16 + static_cast<unsigned>(digit);
    }
    return value;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '\\' || at + 1 >= text.size()) {
      out += text[at++];
      continue;
    }
    const unsigned high = text[at + 1] == 'u' ? hex4(at + 2) : 0;
    const bool pair = high >= 0xd800 && high < 0xdc00 && text.substr(at + 6, 2) == "\\u";
    const unsigned low = pair ? hex4(at + 8) : 0;
    if (low >= 0xdc00 && low < 0xe000) {
      char escape[16];
      std::snprintf(escape, sizeof escape, "\\U%08X", 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
      out += escape;
      at += 12;
    } else {
      out.append(text.substr(at, 2));  // an escaped backslash too: what follows it is no escape
      at += 2;
    }
  }
  return out;
}

std::string too_large() { return "is larger than " + std::to_string(kMaxConfigBytes >> 20) + " MiB"; }

}  // namespace

const Descriptor* find_any_type(std::string_view type_url) {
  const auto slash = type_url.rfind('/');
  if (slash == std::string_view::npos) return nullptr;
  return google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(std::string(type_url.substr(slash + 1)));
}

bool parse_text(std::string_view text, const std::string& file, const ParseOptions& options, Message& message, SourceMap& places,
                Diagnostics& diagnostics) {
  places.begin_file(file);
  const auto refuse = [&](std::uint32_t line, std::string reason) {
    diagnostics.error_at(file, line, {}, std::move(reason));
    return false;
  };
  if (text.size() > kMaxConfigBytes) return refuse(0, too_large());
  if (!is_valid_utf8(text)) return refuse(0, "is not UTF-8 text");
  try {
    const auto documents = YAML::LoadAll(join_surrogates(text));
    if (documents.empty() || documents[0].IsNull())
      return refuse(0, "is empty; expected " + message.GetDescriptor()->full_name());
    if (documents.size() > 1) {
      return refuse(static_cast<std::uint32_t>(documents[1].Mark().line + 1), "holds more than one YAML document (\"---\")");
    }
    LoaderWalk walk(file, options, places, diagnostics);
    walk.message(documents[0], message, "");
    return !walk.failed();
  } catch (const YAML::Exception& error) {
    if (error.mark.is_null()) return refuse(0, "is not valid YAML: " + error.msg);
    return refuse(static_cast<std::uint32_t>(error.mark.line + 1),
                  "is not valid YAML at column " + std::to_string(error.mark.column + 1) + ": " + error.msg);
  }
}

bool parse_file(const std::string& file, const ParseOptions& options, Message& message, SourceMap& places,
                Diagnostics& diagnostics) {
  std::ifstream in(file, std::ios::binary);
  std::string text;
  for (std::array<char, 65'536> block{}; in && text.size() <= kMaxConfigBytes;) {
    in.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad() || !in.eof()) {
    places.begin_file(file);
    const bool large = text.size() > kMaxConfigBytes;
    diagnostics.error_at(file, 0, {}, large ? too_large() : "cannot be read: does it exist, and is it readable?");
    return false;
  }
  return parse_text(text, file, options, message, places, diagnostics);
}

}  // namespace millrace::agent
