package weft;

/** The code is not what it should be; the message says how. */
class Unloadable extends Exception {
    private static final long serialVersionUID = 1;

    Unloadable(String message) {
        super(message);
    }
}
