# cs_library(name SOURCES ... [DEPS ...] [PRIVATE_DEPS ...]): a library of ours; third-party
# libraries go under PRIVATE_DEPS unless a public header needs them.
# Alias: countersign::name. Includes are written from the top of the tree ("base/status.h").
function(cs_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(countersign_${name} STATIC ${A_SOURCES})
  add_library(countersign::${name} ALIAS countersign_${name})
  target_include_directories(countersign_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<INSTALL_INTERFACE:include/countersign>)
  target_link_libraries(countersign_${name} PUBLIC ${A_DEPS}
    PRIVATE ${A_PRIVATE_DEPS} $<BUILD_INTERFACE:countersign_options>)
endfunction()

# cs_program(name SOURCES ... DEPS ...): a program in build/<preset>/bin/.
function(cs_program name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${A_DEPS} countersign_options)
endfunction()

# What nearly every test includes, parsed once a build and not once a file: a third of a test's compile
# time. A source must still include what it uses; clang-tidy reads it without these headers.
set(CS_TEST_HEADERS <gmock/gmock.h> <gtest/gtest.h> <absl/status/statusor.h> <algorithm> <chrono> <functional>
  <map> <memory> <optional> <string> <string_view> <vector>)

# cs_test(name SOURCES ... DEPS ... [LABELS ...] [TIMEOUT s]): one GoogleTest binary, every TEST a
# ctest entry. Runs with the source tree's top as COUNTERSIGN_SOURCE_DIR and bin/ as COUNTERSIGN_BIN_DIR.
function(cs_test name)
  cmake_parse_arguments(A "SERIAL" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  add_executable(${name} ${A_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest GTest::gmock GTest::gtest_main countersign_options)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE
    COUNTERSIGN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" COUNTERSIGN_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  if(name STREQUAL "base_test")
    target_precompile_headers(base_test PRIVATE ${CS_TEST_HEADERS})
  else()
    target_precompile_headers(${name} REUSE_FROM base_test)
  endif()
  # All tests with the same flags, or gcc refuses the headers; ccache understands them only preprocessed so.
  # -O1: a test's own code is run once and compiled often. gcc 12 then takes short std::string literals for
  # overruns; ASan looks for the real ones.
  target_compile_options(${name} PRIVATE -pthread $<$<CONFIG:Release>:-O1>
    "$<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess;-Wno-array-bounds;-Wno-stringop-overread;-Wno-stringop-overflow;-Wno-restrict>")
  include(GoogleTest)
  set(properties TIMEOUT ${A_TIMEOUT})
  if(A_LABELS)  # An empty value would vanish, and the next property's name take its place.
    list(APPEND properties LABELS "${A_LABELS}")
  endif()
  if(COUNTERSIGN_SANITIZE MATCHES "thread")
    # Some tests kill a child that has threads of its own.
    list(APPEND properties ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:die_after_fork=0")
  endif()
  if(A_SERIAL)
    list(APPEND properties RUN_SERIAL TRUE)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()

# cs_fuzzer(name SOURCE f.cc CORPUS dir DEPS ...): with COUNTERSIGN_FUZZ a libFuzzer program; in every
# build a ctest that replays the committed corpus through the same entry point.
function(cs_fuzzer name)
  cmake_parse_arguments(A "" "SOURCE;CORPUS" "DEPS" ${ARGN})
  if(COUNTERSIGN_FUZZ)
    add_executable(fuzz_${name} ${A_SOURCE})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${name} ${A_SOURCE} ${CMAKE_SOURCE_DIR}/tests/support/replay_corpus_main.cc)
    add_test(NAME fuzz_corpus.${name} COMMAND fuzz_${name} ${A_CORPUS})
    set_tests_properties(fuzz_corpus.${name} PROPERTIES TIMEOUT 120)
  endif()
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE ${A_DEPS} countersign_options)
endfunction()
