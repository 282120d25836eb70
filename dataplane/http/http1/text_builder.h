// Writes the text of a head into fresh packets, which reach the output all at once or not at all.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/base/copy_short.h"
#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class TextBuilder {
 public:
  explicit TextBuilder(stream::ChainPool& pool) : pool_(pool), full_(pool) { begin_packet(); }

  // Inline, so that literals are stored and not copied.
  [[gnu::always_inline]] void put(std::string_view text) {
    if (text.size() > static_cast<std::size_t>(end_ - at_)) [[unlikely]]
      return put_in_parts(text);
    copy_short(at_, text.data(), text.size());
    at_ += text.size();
  }
  void put_number(std::uint64_t value, int base = 10) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value, base).ptr;
    put({digits, static_cast<std::size_t>(end - digits)});
  }
  void put_field(std::string_view name, std::string_view value) {
    if (name.size() + value.size() + 4 <= static_cast<std::size_t>(end_ - at_)) [[likely]] {
      copy_short(at_, name.data(), name.size());
      at_ += name.size();
      std::memcpy(at_, ": ", 2);
      at_ += 2;
      copy_short(at_, value.data(), value.size());
      at_ += value.size();
      std::memcpy(at_, "\r\n", 2);
      at_ += 2;
      return;
    }
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }

  /// Moves all that was put to the end of `out`; false, with `out` unchanged, when the pools were exhausted.
  [[nodiscard]] bool finish(stream::Chain& out) {
    if (!ok_) return false;
    end_packet();
    if (full_.empty()) return out.append(nic::Slice(std::move(packet_)));
    if (!full_.append(nic::Slice(std::move(packet_)))) return false;
    out.append(std::move(full_));
    return true;
  }

 private:
  void begin_packet() {
    packet_ = pool_.packets().allocate();
    ok_ = static_cast<bool>(packet_);
    at_ = ok_ ? packet_.data() : nullptr;
    end_ = ok_ ? at_ + packet_.tailroom() : nullptr;
  }
  /// The packet's size is what was written.
  void end_packet() { packet_.append(static_cast<std::size_t>(at_ - packet_.data())); }
  [[gnu::noinline]] void put_in_parts(std::string_view text) {
    while (ok_ && text.size() > static_cast<std::size_t>(end_ - at_)) {
      const auto part = static_cast<std::size_t>(end_ - at_);
      std::memcpy(at_, text.data(), part);
      at_ += part;
      text.remove_prefix(part);
      end_packet();
      ok_ = full_.append(nic::Slice(std::move(packet_)));
      if (ok_) begin_packet();
    }
    if (ok_) return put(text);
    at_ = end_ = nullptr;  // all that comes is dropped
  }

  stream::ChainPool& pool_;
  stream::Chain full_;
  nic::Packet packet_;
  std::uint8_t* at_ = nullptr;  // where the next byte goes, in the packet's memory
  std::uint8_t* end_ = nullptr;
  bool ok_ = false;
};

}  // namespace millrace::http::http1
