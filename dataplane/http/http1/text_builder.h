// Writes the text of a head into fresh packets, which reach the output all at once or not at all.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class TextBuilder {
 public:
  explicit TextBuilder(stream::ChainPool& pool) : pool_(pool), full_(pool), packet_(pool.packets().allocate()), ok_(packet_) {}

  void put(std::string_view text) {
    while (ok_ && text.size() > packet_.tailroom()) {
      const std::size_t part = packet_.tailroom();
      packet_.append({reinterpret_cast<const std::uint8_t*>(text.data()), part});
      text.remove_prefix(part);
      ok_ = full_.append(nic::Slice(std::move(packet_)));
      if (ok_) packet_ = pool_.packets().allocate();
      ok_ = ok_ && packet_;
    }
    if (ok_) packet_.append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  void put_number(std::uint64_t value, int base = 10) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value, base).ptr;
    put({digits, static_cast<std::size_t>(end - digits)});
  }
  void put_field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }

  /// Moves all that was put to the end of `out`; false, with `out` unchanged, when the pools were exhausted.
  [[nodiscard]] bool finish(stream::Chain& out) {
    if (!ok_) return false;
    if (full_.empty()) return out.append(nic::Slice(std::move(packet_)));
    if (!full_.append(nic::Slice(std::move(packet_)))) return false;
    out.append(std::move(full_));
    return true;
  }

 private:
  stream::ChainPool& pool_;
  stream::Chain full_;
  nic::Packet packet_;
  bool ok_;
};

}  // namespace millrace::http::http1
