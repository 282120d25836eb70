// What counts as a change of a file, on real ones.
#include "control-agent/secrets/watched_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/control-agent/tls_files.h"

namespace millrace::agent {
namespace {

namespace fs = std::filesystem;
using test::Directory;
using testing::HasSubstr;
using testing::SizeIs;

/// The file as somebody has just read it.
WatchedFile watched(const std::string& path) {
  FileReader reader;
  (void)reader.read(path);
  return reader.take_files().at(0);
}

/// Makes the file look as if it had been written an hour ago, so that its times alone are believed.
void age(const std::string& path) { fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1)); }

TEST(FileReader, ReadsTheWholeFileAndRemembersItOnce) {
  const Directory directory;
  const std::string path = directory.write("cert.pem", std::string(100'000, 'x'));
  FileReader reader;
  EXPECT_EQ(reader.read(path).value().size(), 100'000U);
  EXPECT_EQ(reader.read(path).value().size(), 100'000U);
  EXPECT_THAT(reader.take_files(), SizeIs(1));
}

TEST(FileReader, SaysWhyAFileCannotBeRead) {
  const Directory directory;
  FileReader reader;
  EXPECT_EQ(reader.read(directory.path("none")).error(),
            "the file \"" + directory.path("none") + "\" cannot be read: No such file or directory; does it exist?");
  EXPECT_THAT(reader.read(directory.path("")).error(), HasSubstr("it is not a regular file"));
  const std::string large = directory.write("large", std::string(kMaxSecretFileBytes + 1, 'x'));
  EXPECT_THAT(reader.read(large).error(), HasSubstr("it is larger than 1 MiB"));
  EXPECT_TRUE(reader.read(directory.write("just", std::string(kMaxSecretFileBytes, 'x'))).has_value());
}

TEST(Changed, IsNotWhatNobodyTouched) {
  const Directory directory;
  WatchedFile file = watched(directory.write("cert.pem", "one"));
  EXPECT_FALSE(changed(file));
  EXPECT_FALSE(changed(file));
}

TEST(Changed, SeesAFileThatIsWrittenInPlace) {
  const Directory directory;
  WatchedFile file = watched(directory.write("cert.pem", "one"));
  directory.write("cert.pem", "two");
  EXPECT_TRUE(changed(file));
}

TEST(Changed, SeesTheContentBehindTimesThatAreTheSame) {
  const Directory directory;
  const std::string path = directory.write("cert.pem", "one");
  WatchedFile file = watched(path);
  ASSERT_TRUE(file.young);
  directory.write("cert.pem", "two");
  struct stat now{};
  ASSERT_EQ(stat(path.c_str(), &now), 0);
  file.identity->modified_ns = now.st_mtim.tv_sec * 1'000'000'000 + now.st_mtim.tv_nsec;
  file.identity->changed_ns = now.st_ctim.tv_sec * 1'000'000'000 + now.st_ctim.tv_nsec;
  EXPECT_TRUE(changed(file));
}

TEST(Changed, SeesAMovedFile) {
  const Directory directory;
  WatchedFile file = watched(directory.write("cert.pem", "one"));
  fs::rename(directory.write("new.pem", "two"), directory.path("cert.pem"));
  EXPECT_TRUE(changed(file));
}

TEST(Changed, SeesTheSwapOfADirectoryBehindASymbolicLink) {
  const Directory directory;
  for (const char* version : {"v1", "v2"}) {
    fs::create_directory(directory.path(version));
    age(directory.write(std::string(version) + "/tls.crt", version));
  }
  fs::create_directory_symlink("v1", directory.path("..data"));
  fs::create_symlink("..data/tls.crt", directory.path("tls.crt"));
  WatchedFile file = watched(directory.path("tls.crt"));
  EXPECT_FALSE(changed(file));
  fs::create_directory_symlink("v2", directory.path("..data_tmp"));
  fs::rename(directory.path("..data_tmp"), directory.path("..data"));
  EXPECT_TRUE(changed(file));
}

TEST(Changed, IsNotAFileWithNewTimesAndTheSameContent) {
  const Directory directory;
  WatchedFile file = watched(directory.write("cert.pem", "one"));
  age(directory.path("cert.pem"));
  const auto before = file.identity;
  EXPECT_FALSE(changed(file));
  EXPECT_NE(file.identity, before);
  EXPECT_FALSE(changed(file));
}

TEST(Changed, SeesAFileGoAndComeBack) {
  const Directory directory;
  WatchedFile file = watched(directory.write("cert.pem", "one"));
  fs::remove(directory.path("cert.pem"));
  EXPECT_TRUE(changed(file));
  WatchedFile gone = watched(directory.path("cert.pem"));
  EXPECT_FALSE(changed(gone));
  directory.write("cert.pem", "one");
  EXPECT_TRUE(changed(gone));
}

}  // namespace
}  // namespace millrace::agent
