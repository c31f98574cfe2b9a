namespace Paravane.Hypervisor.Bare;

/// <summary>Conditions of jumps by their numbers in machine code.</summary>
internal enum Condition : byte
{
    /// <summary>Unsigned less; carry.</summary>
    Below = 2,

    /// <summary>Unsigned not less; no carry.</summary>
    AboveOrEqual = 3,

    /// <summary>Equal; zero.</summary>
    Equal = 4,

    /// <summary>Not equal; not zero.</summary>
    NotEqual = 5,

    /// <summary>Unsigned not more.</summary>
    BelowOrEqual = 6,

    /// <summary>Unsigned more.</summary>
    Above = 7,

    /// <summary>Negative.</summary>
    Sign = 8,

    /// <summary>Not negative.</summary>
    NotSign = 9,
}
