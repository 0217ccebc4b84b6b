import { example } from './mock_api.mjs';

process.stdout.write(JSON.stringify(example()));
