#include "dataplane/wire/arp.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"

namespace millrace::wire {
namespace {
constexpr std::uint16_t kHardwareEthernet = 1;
}

Result<ArpMessage, DropReason> ArpMessage::parse(std::span<const std::uint8_t> payload) {
  if (payload.size() < kArpBytes) return Error(DropReason::kArpTruncated);
  const std::uint8_t* p = payload.data();
  const std::uint16_t operation = load_be16(p + 6);
  if (load_be16(p) != kHardwareEthernet || load_be16(p + 2) != kEtherTypeIpv4 || p[4] != 6 || p[5] != 4 ||
      (operation != 1 && operation != 2)) {
    return Error(DropReason::kArpUnsupported);
  }
  ArpMessage message;
  message.operation = static_cast<Operation>(operation);
  std::copy_n(p + 8, 6, message.sender_mac.bytes.begin());
  message.sender = IpAddress::v4(payload.subspan<14, 4>());
  std::copy_n(p + 18, 6, message.target_mac.bytes.begin());
  message.target = IpAddress::v4(payload.subspan<24, 4>());
  return message;
}

void ArpMessage::write(std::span<std::uint8_t> out) const {
  MR_ASSERT(out.size() >= kArpBytes && sender.is_v4() && target.is_v4());
  std::uint8_t* p = out.data();
  store_be16(p, kHardwareEthernet);
  store_be16(p + 2, kEtherTypeIpv4);
  p[4] = 6;
  p[5] = 4;
  store_be16(p + 6, static_cast<std::uint16_t>(operation));
  std::ranges::copy(sender_mac.bytes, p + 8);
  std::ranges::copy(sender.v4_bytes(), p + 14);
  std::ranges::copy(target_mac.bytes, p + 18);
  std::ranges::copy(target.v4_bytes(), p + 24);
}

}  // namespace millrace::wire
