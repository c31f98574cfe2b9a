namespace Paravane.Hypervisor.Bare;

/// <summary>A place in the code of one <see cref="CodeWriter"/>, which may be named before it is known.</summary>
/// <param name="Index">Number of the label in its writer.</param>
internal readonly record struct Label(int Index);
