package javax.annotation;

/** Of the annotations that the generator uses, the one that its own jar does not have. */
public @interface Generated {
  String[] value();

  String date() default "";

  String comments() default "";
}
