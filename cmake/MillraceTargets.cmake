# One target per folder. The link graph is the diagram in docs/architecture.md.

# millrace_library(name SOURCES a.cc b.cc DEPENDS millrace_base ... [EXCEPTIONS] [APART b.cc c.cc,d.cc])
# A library of the data plane is compiled without exceptions and RTTI; EXCEPTIONS is for
# the agent and app side, whose libraries (CLI11, yaml-cpp, protobuf, spdlog) need them.
# With MILLRACE_UNITY several sources are compiled as one, which saves most of the time; APART: those that give a name
# of their own to something, which another source of the library gives to something else; a comma joins those that agree.
function(millrace_library name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "SOURCES;APART;DEPENDS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    if(MILLRACE_UNITY)
      set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
      set(together ${ARG_SOURCES})
      foreach(apart ${ARG_APART})
        string(REPLACE "," ";" apart ${apart})
        list(REMOVE_ITEM together ${apart})
        list(GET apart 0 first)
        string(MAKE_C_IDENTIFIER ${first} group)
        set_source_files_properties(${apart} PROPERTIES UNITY_GROUP ${group})
      endforeach()
      set(number 0)
      foreach(source ${together})
        math(EXPR group "${number} / 8")
        set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
        math(EXPR number "${number} + 1")
      endforeach()
      # To g++ a source that is included is a header, where unnamed namespaces would be a mistake.
      target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
    endif()
    set(scope PUBLIC)
    if(NOT ARG_EXCEPTIONS)
      target_compile_options(${name} PRIVATE -fno-exceptions -fno-rtti)
    endif()
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} ${scope} ${ARG_DEPENDS})
endfunction()

# millrace_precompiled(name HEADERS <x> a.h ... [DEPENDS millrace_agent ...]): headers that the tests which name it as PRECOMPILED read
# first. Reading them takes most of the time that each source of a test takes.
function(millrace_precompiled name)
  cmake_parse_arguments(ARG "" "" "HEADERS;DEPENDS" ${ARGN})
  add_library(${name} OBJECT ${CMAKE_SOURCE_DIR}/tests/support/precompiled.cc)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock)
  millrace_test_options(${name})
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <gmock/gmock.h> ${ARG_HEADERS})
endfunction()

# What is tested is optimised, the tests themselves are not: GoogleTest takes five times as long to compile with -O2. The last is what
# ccache asks for to cope with precompiled headers.
function(millrace_test_options name)
  target_compile_options(${name} PRIVATE -O0 -g1 -pthread $<IF:$<CXX_COMPILER_ID:GNU>,-fpch-preprocess,SHELL:-Xclang -fno-pch-timestamp>)
endfunction()

# millrace_test(name SOURCES a_test.cc DEPENDS millrace_base ... [PRECOMPILED name]): a GoogleTest program, run by ctest.
function(millrace_test name)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  millrace_test_options(${name})
  if(NOT ARG_PRECOMPILED)
    set(ARG_PRECOMPILED precompiled_gtest)
  endif()
  if(NOT millrace_dpdk IN_LIST ARG_DEPENDS)  # whose configuration must be read before everything else
    target_precompile_headers(${name} REUSE_FROM ${ARG_PRECOMPILED})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# millrace_integration_test(name FILE test_x.py [ALONE] [LONG] [TIMEOUT seconds]): a pytest file that runs the real program, whose
# path it finds in MILLRACE_BINARY, in a network of its own: two of them do not see each other's interfaces and ports. ALONE: nothing
# else runs beside it, since it measures, or loads both cores. LONG is left to `test --all`. `./dev test` runs it on one build: where it
# is ALONE on the plain one (label "paced"), else on the sanitized one ("functional"), which sees more; BOTH: on both.
function(millrace_integration_test name)
  cmake_parse_arguments(ARG "ALONE;BOTH;LONG" "FILE;TIMEOUT" "" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  set(labels integration)
  if(ARG_LONG)
    list(APPEND labels long)
  endif()
  if(ARG_ALONE AND NOT ARG_BOTH)
    list(APPEND labels paced)
  elseif(NOT ARG_BOTH)
    list(APPEND labels functional)
  endif()
  add_test(NAME ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMAND unshare --net sh -c "ip link set lo up && exec \"$@\"" ${name}
      /usr/bin/python3 -m pytest -q -p no:cacheprovider ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_FILE})
  set_tests_properties(${name} PROPERTIES RUN_SERIAL ${ARG_ALONE} TIMEOUT ${ARG_TIMEOUT} LABELS "${labels}"
    ENVIRONMENT "MILLRACE_BINARY=$<TARGET_FILE:millrace>;MILLRACE_BUILD_DIR=${CMAKE_BINARY_DIR};MILLRACE_SANITIZE=${MILLRACE_SANITIZE};PYTHONDONTWRITEBYTECODE=1")
endfunction()

# millrace_fuzzer(name SOURCES x_fuzz.cc DEPENDS ...): LLVMFuzzerTestOneInput. With MILLRACE_FUZZERS a libFuzzer program
# (./dev fuzz); elsewhere a test that replays the inputs kept in tests/fuzz/corpus/<name>.
function(millrace_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
  if(MILLRACE_FUZZERS)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
    add_dependencies(fuzzers ${name})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name}_corpus COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name}_corpus PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
endfunction()
