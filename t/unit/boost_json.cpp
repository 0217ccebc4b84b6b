// Boost.JSON itself, once for all tests that compare with it.

#include <boost/json/src.hpp>
