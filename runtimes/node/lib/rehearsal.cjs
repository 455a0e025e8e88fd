// What a waiting worker loads in place of a function's CommonJS module.
'use strict';

exports.handler = async (event) => event;
