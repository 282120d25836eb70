// Opening a crypto device: find or make it, check it, configure it; see crypto_device.h.
#include "nic/crypto_device.h"

#include <algorithm>
#include <utility>

#include <rte_cryptodev.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/limits.h"
#include "nic/crypto_engine.h"
#include "nic/crypto_queue.h"
#include "nic/devargs.h"

namespace millrace::nic {
namespace {

constexpr int kNoDevice = -1;
constexpr std::string_view kDriverPrefix = "crypto_";
constexpr std::size_t kAdditionalBytes[] = {5, 13};  // of TLS 1.3 and 1.2

constexpr std::uint64_t kOnCpu = RTE_CRYPTODEV_FF_CPU_SSE | RTE_CRYPTODEV_FF_CPU_AVX | RTE_CRYPTODEV_FF_CPU_AVX2 |
                                 RTE_CRYPTODEV_FF_CPU_AVX512 | RTE_CRYPTODEV_FF_CPU_AESNI | RTE_CRYPTODEV_FF_CPU_NEON |
                                 RTE_CRYPTODEV_FF_CPU_ARM_CE;

std::string error_text(int result) { return rte_strerror(result < 0 ? -result : result); }

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

std::string what_there_is() {
  std::vector<std::string> devices;
  for (int i = 0; i < RTE_CRYPTO_MAX_DEVS; ++i) {
    if (rte_cryptodev_is_valid_dev(static_cast<std::uint8_t>(i)) != 0)
      devices.emplace_back(rte_cryptodev_name_get(static_cast<std::uint8_t>(i)));
  }
  std::vector<std::string> drivers;
  for (std::uint8_t i = 0; const char* name = rte_cryptodev_driver_name_get(i); ++i) drivers.emplace_back(name);
  std::ranges::sort(drivers);
  return "Crypto devices that are there: " + joined(devices) + ". Drivers of this DPDK: " + joined(drivers);
}

bool offers(std::uint8_t device, tls::Aead aead) {
  rte_cryptodev_sym_capability_idx index{};
  index.type = RTE_CRYPTO_SYM_XFORM_AEAD;
  index.algo.aead = algorithm_of(aead);
  const rte_cryptodev_symmetric_capability* const capability = rte_cryptodev_sym_capability_get(device, &index);
  return capability != nullptr && std::ranges::all_of(kAdditionalBytes, [&](std::size_t additional) {
           return rte_cryptodev_sym_capability_check_aead(capability, static_cast<std::uint16_t>(tls::key_bytes(aead)),
                                                          tls::kTagBytes, static_cast<std::uint16_t>(additional),
                                                          tls::kNonceBytes) == 0;
         });
}

CryptoQueue::Layout layout_for(const rte_cryptodev_info& device, bool on_cpu) {
  return {.in_place = device.min_mbuf_headroom_req == 0 && device.min_mbuf_tailroom_req == 0,
          .in_parts = (device.feature_flags & RTE_CRYPTODEV_FF_IN_PLACE_SGL) != 0,
          .any_memory = on_cpu,
          .headroom = device.min_mbuf_headroom_req,
          .tailroom = device.min_mbuf_tailroom_req};
}

}  // namespace

std::string pci_address_of(const std::string& device) {
  constexpr std::size_t kAddressBytes = std::string_view("0000:3b:00.0").size();
  const std::string start = device.substr(0, kAddressBytes);
  return is_pci_address(start) ? start : std::string();
}

CryptoDevice::CryptoDevice() : device_(kNoDevice) {}

CryptoDevice::~CryptoDevice() {
  if (device_ == kNoDevice) return;
  const auto device = static_cast<std::uint8_t>(device_);
  rte_cryptodev_info info{};
  rte_cryptodev_info_get(device, &info);
  if (started_) rte_cryptodev_stop(device);
  rte_cryptodev_close(device);
  if (made_) rte_dev_remove(info.device);
}

Result<std::unique_ptr<CryptoDevice>, std::string> CryptoDevice::open(const CryptoDeviceConfig& config,
                                                                      std::span<const int> numa_nodes) {
  MR_ASSERT(!numa_nodes.empty() && numa_nodes.size() <= limits::kMaxWorkers);
  std::unique_ptr<CryptoDevice> device(new CryptoDevice());
  device->info_.name = config.name;
  std::string problem = device->find(config);
  if (problem.empty()) problem = device->check(config, numa_nodes.size());
  if (problem.empty()) problem = device->configure(config, numa_nodes);
  if (!problem.empty()) return Error<std::string>("crypto device \"" + config.name + "\": " + problem);
  return device;
}

std::string CryptoDevice::find(const CryptoDeviceConfig& config) {
  device_ = rte_cryptodev_get_dev_id(config.name.c_str());
  if (device_ == kNoDevice) return make(config);
  if (config.args.empty()) return {};
  device_ = kNoDevice;  // it is not ours to be closed
  return "it is there already: \"" + config.args + "\" can be given to a device in software only, which is made at start";
}

std::string CryptoDevice::make(const CryptoDeviceConfig& config) {
  if (!pci_address_of(config.name).empty()) {
    return "there is no such device. It must be bound to vfio-pci (dpdk-devbind.py), and its name be DPDK's, as in "
           "\"0000:3d:01.0_qat_sym\". " +
           what_there_is();
  }
  if (!config.name.starts_with(kDriverPrefix)) {
    return "there is no such device, and no driver in software whose name would begin with \"crypto_\". " + what_there_is();
  }
  const std::string devargs = config.args.empty() ? config.name : config.name + "," + config.args;
  const int result = rte_dev_probe(devargs.c_str());
  device_ = result == 0 ? rte_cryptodev_get_dev_id(config.name.c_str()) : kNoDevice;
  made_ = device_ != kNoDevice;
  if (made_) return {};
  return "there is no such device, and none can be made as \"" + devargs + "\": " + error_text(result == 0 ? ENODEV : result) +
         ". " + what_there_is();
}

std::string CryptoDevice::check(const CryptoDeviceConfig& config, std::size_t workers) {
  const auto device = static_cast<std::uint8_t>(device_);
  rte_cryptodev_info info{};
  rte_cryptodev_info_get(device, &info);
  info_.driver = info.driver_name;
  info_.numa_node = rte_cryptodev_socket_id(device);
  info_.on_cpu = (info.feature_flags & RTE_CRYPTODEV_FF_HW_ACCELERATED) == 0 && (info.feature_flags & kOnCpu) != 0;
  const CryptoQueue::Layout layout = layout_for(info, info_.on_cpu);
  info_.in_place = layout.in_place && layout.in_parts;
  for (const tls::Aead aead : tls::kAeads) {
    const bool offered = offers(device, aead);
    info_.aeads.push_back({.name = std::string(tls::to_text(aead)),
                           .offered = offered,
                           .where = offered ? Place::kDevice : Place::kSoftware,
                           .reason = offered ? "" : "the driver does not offer it"});
  }
  if (std::ranges::none_of(info_.aeads, &OffloadUse::offered)) {
    return "the driver " + info_.driver + " offers no cipher of TLS (AES-GCM, ChaCha20-Poly1305): choose another device. " +
           what_there_is();
  }
  if (info.max_nb_queue_pairs < workers) {
    return "it has " + std::to_string(info.max_nb_queue_pairs) + " queue pairs for " + std::to_string(workers) +
           " workers, each of which needs one: " +
           (made_ ? "give it args: \"max_nb_queue_pairs=" + std::to_string(workers) + "\"" : "choose another device") +
           ", or have fewer workers";
  }
  const std::size_t keys = 2 * config.connections * workers;
  if (info.sym.max_nb_sessions != 0 && info.sym.max_nb_sessions < keys) {
    return "it holds " + std::to_string(info.sym.max_nb_sessions) + " keys: have at most " +
           std::to_string(info.sym.max_nb_sessions / (2 * workers)) + " connections (of each worker) there";
  }
  return {};
}

std::string CryptoDevice::configure(const CryptoDeviceConfig& config, std::span<const int> numa_nodes) {
  const auto device = static_cast<std::uint8_t>(device_);
  rte_cryptodev_info info{};
  rte_cryptodev_info_get(device, &info);
  rte_cryptodev_config settings{};
  settings.socket_id = info_.numa_node;
  settings.nb_queue_pairs = static_cast<std::uint16_t>(numa_nodes.size());
  settings.ff_disable = RTE_CRYPTODEV_FF_ASYMMETRIC_CRYPTO | RTE_CRYPTODEV_FF_SECURITY;
  if (const int result = rte_cryptodev_configure(device, &settings); result != 0) {
    return "the driver " + info_.driver + " refuses " + std::to_string(settings.nb_queue_pairs) +
           " queue pairs: " + error_text(result);
  }
  info_.queue_pairs = settings.nb_queue_pairs;
  for (std::uint16_t pair = 0; pair < info_.queue_pairs; ++pair) {
    auto queue = CryptoQueue::create("crypto" + std::to_string(device) + "-" + std::to_string(pair), device, pair,
                                     layout_for(info, info_.on_cpu), 2 * config.connections, numa_nodes[pair]);
    if (!queue) return std::move(queue.error());
    for (std::size_t i = 0; i < info_.aeads.size(); ++i) (*queue)->offers[i] = info_.aeads[i].offered;
    queues_.push_back(std::move(*queue));
    const rte_cryptodev_qp_conf setup{.nb_descriptors = CryptoQueue::kDescriptors, .mp_session = nullptr};
    if (const int result = rte_cryptodev_queue_pair_setup(device, pair, &setup, numa_nodes[pair]); result != 0) {
      return "queue pair " + std::to_string(pair) + " with " + std::to_string(setup.nb_descriptors) +
             " descriptors cannot be set up: " + error_text(result);
    }
  }
  if (const int result = rte_cryptodev_start(device); result != 0) return "it cannot be started: " + error_text(result);
  started_ = true;
  return {};
}

CryptoCounters CryptoDevice::counters() const {
  CryptoCounters sum;
  for (const auto& queue : queues_) {
    const CryptoTally& tally = queue->tally;
    sum.records += tally.records.load(std::memory_order_relaxed);
    sum.copied += tally.copied.load(std::memory_order_relaxed);
    sum.failed += tally.failed.load(std::memory_order_relaxed);
    sum.keys += tally.keys.load(std::memory_order_relaxed);
    sum.software_keys += tally.software_keys.load(std::memory_order_relaxed);
  }
  return sum;
}

std::unique_ptr<tls::RecordEngine> CryptoDevice::make_engine(std::uint16_t worker, std::unique_ptr<tls::RecordEngine> software) {
  MR_ASSERT(worker < queues_.size());
  return make_crypto_engine(*queues_[worker], std::move(software));
}

std::size_t CryptoDevice::memory_bytes(std::size_t workers, std::size_t connections) {
  return workers * CryptoQueue::memory_bytes(2 * connections);
}

}  // namespace millrace::nic
