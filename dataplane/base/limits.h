// Every fixed size of the data plane, with its unit in its name. What a user may choose stands in the configuration;
// these are its defaults and its bounds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::limits {

// Bursts: what one turn of the loop takes from one queue.
inline constexpr std::size_t kRxBurstPackets = 64;
inline constexpr std::size_t kTxBurstPackets = 64;
inline constexpr std::size_t kRxBurstsPerTurn = 4;

// Packets. The headroom holds Ethernet + VLAN + IPv6 + the longest TCP header (14 + 4 + 40 + 60).
inline constexpr std::size_t kPacketHeadroomBytes = 128;
inline constexpr std::size_t kPacketBufferBytes = 2048 + kPacketHeadroomBytes;
inline constexpr std::size_t kMaxPorts = 16;
inline constexpr std::size_t kMaxWorkers = 64;

// Neighbours and routes.
inline constexpr std::size_t kNeighbourEntries = 1024;
inline constexpr std::size_t kNeighbourPendingPackets = 8;  // per unresolved neighbour
inline constexpr std::size_t kMaxRoutes = 1024;
inline constexpr std::size_t kDefaultRouters = 8;  // per worker, learned from advertisements

// The internet layer, per worker. A datagram that is being put together holds one packet buffer.
inline constexpr std::size_t kReassemblyDatagrams = 256;                                    // the oldest makes room
inline constexpr std::size_t kReassemblyBytes = kPacketBufferBytes - kPacketHeadroomBytes;  // payload of one datagram
inline constexpr std::size_t kReassemblyFragments = 64;                                     // of one datagram
inline constexpr std::size_t kPathMtuEntries = 1024;                                        // the oldest makes room
inline constexpr int kIcmpErrorsPerSecond = 100;
inline constexpr int kIcmpErrorBurst = 50;
inline constexpr int kIcmpEchoRepliesPerSecond = 1000;
inline constexpr int kIcmpEchoReplyBurst = 250;

// TCP.
inline constexpr std::size_t kTcpMaxConnections = 131'072;       // per worker, TIME-WAIT not included
inline constexpr std::size_t kTcpMaxTimeWait = 65'536;           // per worker; the oldest makes room
inline constexpr std::size_t kTcpSynBacklog = 1'024;             // half-open connections per listener
inline constexpr std::uint16_t kTcpFirstEphemeralPort = 32'768;  // connections that we open have ports from here on
// Windows start small and grow with what the user reads and the network takes; both halves are bounded further by the share of
// the packet pool that is left (tcp/stack.cc).
inline constexpr std::size_t kTcpReceiveBufferBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kTcpInitialReceiveBufferBytes = 64 * 1024;
inline constexpr std::size_t kTcpSendBufferBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kTcpInitialSendBufferBytes = 256 * 1024;
inline constexpr std::size_t kTcpScarceBytes = 16 * 1024;  // who holds less is served on when buffers are scarce

// Between workers: what may wait from each one for each other.
inline constexpr std::size_t kExchangeParcels = 1'024;  // a power of two

// Looking inside, per worker. The cost of a turn bounds how much a walk over connections may delay packets: a bucket of the table
// costs 1, an entry looked at 4, one copied 32, which is about 50 us in the worst case.
inline constexpr std::size_t kMailboxLetters = 16;
inline constexpr std::size_t kWalkCostPerTurn = 2'048;
inline constexpr std::size_t kCaptures = 4;
inline constexpr std::size_t kCaptureRingBytes = 4 * 1024 * 1024;  // of one capture; a power of two
inline constexpr std::size_t kCaptureFrameBytes = 64 * 1024;       // of one frame; a packet for TSO has as many

// HTTP.
inline constexpr std::size_t kMaxRequestHeadersBytes = 96 * 1024;
inline constexpr std::size_t kDefaultRequestHeadersBytes = 60 * 1024;  // Envoy's max_request_headers_kb
inline constexpr std::size_t kDefaultHeaderCount = 100;                // Envoy's max_headers_count
inline constexpr std::size_t kMaxHeaderCount = 1'000;
/// Parts of the key by which a request finds its route table.
inline constexpr std::size_t kMaxScopeFragments = 8;
inline constexpr std::size_t kJwtBytes = 32 * 1024;      // of one token in its text
inline constexpr std::size_t kJwtsPerRequest = 8;        // each costs a verification
inline constexpr std::size_t kJwtCacheEntries = 16'384;  // the most that jwt_cache_size can ask for, in each worker
inline constexpr std::size_t kDefaultConnectionBufferBytes = 1024 * 1024;  // Envoy's per_connection_buffer_limit_bytes

}  // namespace millrace::limits
