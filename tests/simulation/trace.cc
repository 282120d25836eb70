#include "tests/simulation/trace.h"

#include <cstdio>

#include "dataplane/wire/endian.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kEthernetBytes = 14;

std::string describe_tcp(std::span<const std::uint8_t> segment, std::size_t payload_end) {
  const auto header = wire::TcpHeaderView::parse(segment);
  if (!header) return "TCP malformed";
  std::string flags;
  constexpr char kLetters[] = "FSRPAUEC";
  for (int bit = 0; bit < 8; ++bit) {
    if ((header->flags >> bit & 1) != 0) flags += kLetters[bit];
  }
  const std::size_t payload = payload_end - header->header_size;
  std::string text = std::to_string(header->source_port) + ">" + std::to_string(header->destination_port) + " " + flags +
                     " seq " + std::to_string(header->seq) + "+" + std::to_string(payload) + " ack " +
                     std::to_string(header->ack) + " win " + std::to_string(header->window);
  for (const auto& block : header->options.sacks()) {
    text += " sack " + std::to_string(block.left) + "-" + std::to_string(block.right);
  }
  return text;
}

std::string describe(std::span<const std::uint8_t> frame) {
  if (frame.size() < kEthernetBytes + 20) return "short";
  const std::span<const std::uint8_t> packet = frame.subspan(kEthernetBytes);
  switch (wire::load_be16(&frame[12])) {
    case 0x0806: return "ARP";
    case 0x0800: {
      const std::size_t total = wire::load_be16(&packet[2]);
      if (packet[9] == 1) return "ICMP type " + std::to_string(packet[20]);
      if (packet[9] != 6 || total < 40 || total > packet.size()) return "IPv4 protocol " + std::to_string(packet[9]);
      return describe_tcp(packet.subspan(20), total - 20);
    }
    case 0x86dd: {
      const std::size_t payload = wire::load_be16(&packet[4]);
      if (packet[6] == 58 && packet.size() > 40) return "ICMPv6 type " + std::to_string(packet[40]);
      if (packet[6] != 6 || payload < 20 || 40 + payload > packet.size()) return "IPv6 next " + std::to_string(packet[6]);
      return describe_tcp(packet.subspan(40), payload);
    }
    default: return "frame";
  }
}

}  // namespace

void trace_frame(const std::string& port, Instant now, std::span<const std::uint8_t> frame, const Link::Outcome& outcome) {
  const std::int64_t nanoseconds = now.to_nanoseconds();
  std::fprintf(stderr, "%lld.%06lld %s> %s%s%s%s\n", static_cast<long long>(nanoseconds / 1'000'000'000),
               static_cast<long long>(nanoseconds / 1'000 % 1'000'000), port.c_str(), describe(frame).c_str(),
               outcome.fate == Fate::kDelivered ? "" : " -- ", to_text(outcome.fate), outcome.corrupted ? " -- corrupted" : "");
}

}  // namespace millrace::sim
