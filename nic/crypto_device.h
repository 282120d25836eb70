// A crypto device of DPDK that seals and opens TLS records: QAT and its kind, or a driver in software such as crypto_aesni_mb.
// Finds or makes it, checks what it can, gives each worker a queue pair. What it cannot is done in software, and said. It does
// not choose which records go there (crypto_engine.h) or what a session may use (tls/context.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "nic/port.h"
#include "tls/record_engine.h"

namespace millrace::nic {

struct CryptoQueue;

struct CryptoDeviceConfig {
  /// DPDK's name of a device that is there ("0000:3d:01.0_qat_sym": its PCI address must stand in EalOptions::pci_addresses), or
  /// of one in software that is made here and goes with us: the driver's name, and anything behind it ("crypto_aesni_mb0").
  std::string name;
  std::string args{};               ///< of one that is made: "max_nb_queue_pairs=16"
  std::size_t connections = 4'096;  ///< of each worker, whose two keys the device holds; those beyond are served in software
};

/// Constant after opening.
struct CryptoDeviceInfo {
  std::string name;
  std::string driver;
  std::uint16_t queue_pairs = 0;
  int numa_node = -1;               ///< -1: unknown
  bool on_cpu = false;              ///< the driver computes on the CPU that calls it
  bool in_place = false;            ///< records in several parts are not copied for it
  std::vector<OffloadUse> aeads{};  ///< by tls::Aead
};

/// Of all workers together.
struct CryptoCounters {
  std::uint64_t records = 0;        ///< the device has answered
  std::uint64_t copied = 0;         ///< of these: could not be left where they lay
  std::uint64_t failed = 0;         ///< of these: neither done nor forged
  std::uint64_t keys = 0;           ///< that the device holds now
  std::uint64_t software_keys = 0;  ///< made so far that it did not offer, or had no room for
};

/// The PCI address with which a device's name begins; empty: none.
[[nodiscard]] std::string pci_address_of(const std::string& device);

/// Made and destroyed on the agent's thread, after EAL's start and before its end; outlives its engines.
class CryptoDevice {
 public:
  /// `numa_nodes`: of each worker's core, -1: any. The error names the device, what failed, why, and which devices there are.
  [[nodiscard]] static Result<std::unique_ptr<CryptoDevice>, std::string> open(const CryptoDeviceConfig& config,
                                                                               std::span<const int> numa_nodes);
  ~CryptoDevice();
  CryptoDevice(const CryptoDevice&) = delete;
  CryptoDevice& operator=(const CryptoDevice&) = delete;

  [[nodiscard]] const CryptoDeviceInfo& info() const { return info_; }
  /// Any thread.
  [[nodiscard]] CryptoCounters counters() const;
  /// The engine of a worker, for its thread; one at a time. `software` works at once, and does what the device does not.
  [[nodiscard]] std::unique_ptr<tls::RecordEngine> make_engine(std::uint16_t worker, std::unique_ptr<tls::RecordEngine> software);

  /// Bytes that the queues of so many workers take, about.
  [[nodiscard]] static std::size_t memory_bytes(std::size_t workers, std::size_t connections);

 private:
  CryptoDevice();

  // The steps of open(): each returns an error text without the device's name, or nothing.
  std::string find(const CryptoDeviceConfig& config);
  std::string make(const CryptoDeviceConfig& config);
  std::string check(const CryptoDeviceConfig& config, std::size_t workers);
  std::string configure(const CryptoDeviceConfig& config, std::span<const int> numa_nodes);

  CryptoDeviceInfo info_;
  int device_;  ///< DPDK's number, kNoDevice before it is found
  bool made_ = false;
  bool started_ = false;
  std::vector<std::unique_ptr<CryptoQueue>> queues_;
};

}  // namespace millrace::nic
