// All of them in one process, which has one Chromium.

import './numbers.test.mjs';
import './refreshing.test.mjs';
import './keys.test.mjs';
import './looks.test.mjs';
