package text.deep;

public class Nested {
    public static final String NESTED = "nested";
}
