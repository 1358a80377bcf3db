int length_of_greeting(int names);
